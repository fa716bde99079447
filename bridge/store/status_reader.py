"""Read the status of activities, workers and pollers from the store. Blocking."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bridge.model import State
from bridge.settings import Settings
from bridge.store.records import PollRefusal
from bridge.store.room import Room
from bridge.store.scripts import Scripts, ms
from bridge.store.status import ActivityStatus, OpenPolls, Status, WorkerStatus


class StatusReader:
    """Reads the status; raises ``StoreUnavailable`` when Redis does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._scripts = Scripts(settings)

    def read(self, activities: Sequence[str]) -> Status:
        """The status of ``activities``, and of every other activity that has claims."""
        return parse_status(self._scripts.call("read_status", *activities), activities)

    def room(self, activity: str, queue: str, place: str = "") -> Room:
        """Whether one more poll on the activity would be granted, and why not.

        Args:
            queue: The queue of the activity's jobs.
            place: Region and account of the activity; empty: the process's own.
        """
        settings = self._settings
        text = self._scripts.call(
            "read_room",
            settings.look_ahead,
            ms(settings.look_ahead_s),
            settings.look_ahead_most,
            activity,
            queue,
            place,
        )
        said: dict[str, Any] = json.loads(text)
        return Room(
            refusal=PollRefusal(said["refusal"]),
            slots=said["slots"],
            offered=said["offered"],
            used=said["used"],
            waiting_room=said["waiting_room"],
            charged=said["charged"],
            time_room_s=said["time_room_ms"] / 1000,
            time_used_s=said["time_used_ms"] / 1000,
            short=said["short"],
            longest_s=_seconds(said.get("longest_ms")),
            workers=said["workers"],
        )

    def close(self) -> None:
        """Close the connections."""
        self._scripts.redis.close()


def parse_status(text: str | bytes, activities: Sequence[str]) -> Status:
    """The status in an answer of ``read_status``; what the answer does not name counts as 0."""
    said: dict[str, Any] = json.loads(text)
    counts = _ActivityCounts(said)
    pollers = dict(said["pollers"])
    polls = list(_open_polls(pollers))
    names = dict.fromkeys([*activities, *sorted(counts.activities)])
    return Status(
        activities=[_activity(name, counts, polls) for name in names],
        workers=[_worker(name, info) for name, info in sorted(said["workers"].items())],
        pollers=sorted(pollers),
        passes={name: age_ms / 1000 for name, age_ms in said["passes"].items()},
        outbox_s=said["outbox_ms"] / 1000,
        polls=polls,
    )


class _ActivityCounts:
    """The numbers of each activity in an answer of ``read_status``."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.by_state = {_pair(name): claims for name, claims in said["tally"].items()}
        self.activities = {activity for activity, _ in self.by_state}
        self.waiting: dict[str, dict[str, int]] = {}
        for name, claims in said["waiting"].items():
            activity, queue = _pair(name)
            self.waiting.setdefault(activity, {})[queue] = claims
        self.ended: dict[str, int] = said["ended"]
        self.lost: dict[str, int] = said["lost"]
        self.countdown: dict[str, int] = said["countdown"]
        self.held_back: dict[str, int] = said["held_back"]
        self.oldest_ms: dict[str, float] = said["oldest"]
        self.longest_ms: dict[str, float] = said["longest_ms"]


def _activity(name: str, counts: _ActivityCounts, polls: Sequence[OpenPolls]) -> ActivityStatus:
    in_state = {state: counts.by_state.get((name, state), 0) for state in State}
    its_polls = [each for each in polls if each.activity == name]
    fresh, idle = sum(each.fresh for each in its_polls), sum(each.idle for each in its_polls)
    return ActivityStatus(
        activity=name,
        in_flight=sum(in_state.values()),
        queued=in_state[State.QUEUED],
        running=in_state[State.RUNNING],
        outbox=in_state[State.SETTLED],
        lost=counts.lost.get(name, 0),
        polls=fresh + idle,
        oldest_s=_seconds(counts.oldest_ms.get(name)),
        succeeded=counts.ended.get(f"{name}|succeeded", 0),
        failed=counts.ended.get(f"{name}|failed", 0),
        waiting_in=counts.waiting.get(name, {}),
        countdown=counts.countdown.get(name, 0),
        held_back=counts.held_back.get(name, 0),
        fresh=fresh,
        idle=idle,
        longest_s=_seconds(counts.longest_ms.get(name)),
    )


def _open_polls(pollers: Mapping[str, Mapping[str, str]]) -> Iterator[OpenPolls]:
    for poller, polls in sorted(pollers.items()):
        for name, numbers in polls.items():
            activity, queue = _pair(name)
            fresh, idle = map(int, numbers.split())
            yield OpenPolls(poller=poller, activity=activity, queue=queue, fresh=fresh, idle=idle)


def _worker(name: str, info: Mapping[str, Any]) -> WorkerStatus:
    return WorkerStatus(
        worker=name,
        slots=int(info["slots"]),
        queues=tuple(info["queues"]),
        running=info["running"],
        lease_s=info["lease_ms"] / 1000,
        # Not announced by a worker of schema 1, which may have left an ended lease behind.
        ordinary=int(info.get("ordinary", 0)),
        fetches=bool(info.get("fetches", False)),
        unwanted=int(info["unwanted"]),
        offered=int(info["offered"]),
        used=int(info["used"]),
    )


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _pair(name: str) -> tuple[str, str]:
    """The two parts of a name "<activity>|<queue>" or "<activity>|<state>"."""
    first, _, second = name.partition("|")
    return first, second
