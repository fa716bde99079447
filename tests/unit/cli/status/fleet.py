"""One activity and a few workers, for the tests of ``status``."""

from __future__ import annotations

from types import SimpleNamespace

from bridge.cli.status.overview import Overview
from bridge.store import ActivityStatus, Status, WorkerStatus

REGISTRY = {"resize-image": SimpleNamespace(queue="celery")}
ROW = ActivityStatus(
    "resize-image",
    in_flight=9,
    queued=6,
    running=2,
    outbox=1,
    lost=0,
    polls=3,
    oldest_s=42.1,
    succeeded=1804,
    waiting_in={"celery": 3},
    countdown=2,
    held_back=1,
    fresh=2,
    idle=1,
    longest_s=0.02,
)
WORKER = WorkerStatus(
    "celery@one#1f2e",
    4,
    ("celery",),
    running=2,
    lease_s=10.0,
    ordinary=1,
    offered=3,
    used=2,
    fetches=True,
)
DRAINS = WorkerStatus("celery@two#3d4c", 0, ("celery",), running=3, lease_s=10.0)
LOST = WorkerStatus("celery@three#5b6a", 4, ("celery",), running=1, lease_s=-2.0, offered=4, used=1)
BEAT = WorkerStatus("beat@one#7f8e", 4, ("bridge.system",), running=0, lease_s=10.0, offered=4)


def overview(*workers: WorkerStatus, row: ActivityStatus = ROW) -> Overview:
    """What ``status`` shows of this fleet."""
    return Overview.of(Status([row], list(workers), ["p"]), REGISTRY)
