"""One activity, and workers and rooms of several kinds, for the tests of ``status --why``."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from bridge.cli.status.why.answer import Answer
from bridge.cli.status.why.facts import Facts
from bridge.settings import Settings
from bridge.store import ActivityStatus, PollRefusal, Room, Status, WorkerStatus

ACTIVITY = SimpleNamespace(
    name="resize-image", queue="celery", task=SimpleNamespace(name="tasks.resize", rate_limit="6/m")
)
QUIET = ActivityStatus(
    "resize-image", in_flight=0, queued=0, running=0, outbox=0, lost=0, polls=0, oldest_s=None
)
BUSY = replace(QUIET, in_flight=4, queued=1, running=3, waiting_in={"celery": 1})
WORKER = WorkerStatus(
    "w@one#1", 4, ("celery",), running=2, lease_s=10.0, ordinary=2, offered=2, used=2
)
IDLE = replace(WORKER, running=0, ordinary=0, offered=4, used=0)
DRAINS = WorkerStatus("w@old#1", 0, ("celery",), running=3, lease_s=10.0)
GPU = replace(IDLE, worker="gpu@one#1", queues=("gpu",))
LOST = replace(WORKER, worker="w@lost#1", lease_s=-5.0)
FULL = Room(PollRefusal.NO_ROOM, slots=4, offered=2, used=2, waiting_room=1, charged=1, workers=1)
SETTINGS = Settings(store_url="redis://127.0.0.1:1/0")


def answer(room: Room, *workers: WorkerStatus, row=QUIET, pollers=("p",), polls=()) -> Answer:
    """What ``--why`` answers for this fleet."""
    status = Status([row], list(workers), list(pollers), polls=list(polls))
    return Answer.of(Facts.gather(ACTIVITY, status, room, SETTINGS))


def said(*args, **kwargs) -> str:
    """The sentences of that answer."""
    return " ".join(answer(*args, **kwargs).sentences)
