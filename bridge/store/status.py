"""What is in flight and who works on it, for people. Reads only. Blocking."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.model import State
from bridge.settings import Settings
from bridge.store.scripts import Scripts


@dataclass(frozen=True, slots=True)
class ActivityStatus:
    """One activity's claims.

    Attributes:
        in_flight: Claimed and not closed.
        outbox: Settled; Step Functions has not taken the outcome yet.
        lost: Running on a worker whose lease has ended.
        polls: Open polls, of all pollers.
        succeeded: Successes so far; counted when an outcome is stored.
        failed: Failures so far.
        oldest_s: Age of the oldest claim in flight, in seconds; None without one.
    """

    activity: str
    in_flight: int
    queued: int
    running: int
    outbox: int
    lost: int
    polls: int
    oldest_s: float | None
    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker: its lease has ended when ``lease_s`` is negative."""

    worker: str
    slots: int
    queues: tuple[str, ...]
    running: int
    lease_s: float


@dataclass(frozen=True, slots=True)
class Status:
    """All activities that were asked for or have claims, all workers, and the live pollers.

    Attributes:
        passes: Kind of pass ("heartbeat", "recovery") → seconds since the last one began.
        outbox_s: Age of the oldest outcome that Step Functions has not taken.
    """

    activities: list[ActivityStatus]
    workers: list[WorkerStatus]
    pollers: list[str] = field(default_factory=list)
    passes: dict[str, float] = field(default_factory=dict)
    outbox_s: float = 0.0


class StatusReader:
    """Reads the status; raises ``StoreUnavailable`` when Redis does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._scripts = Scripts(settings)

    def read(self, activities: Sequence[str]) -> Status:
        """The status of ``activities``, and of every other one that has claims."""
        raw: dict[str, Any] = json.loads(self._scripts.call("read_status", *activities))
        # An empty Lua table is an empty object in JSON, for cjson knows no difference.
        tally: dict[tuple[str, str], int] = {
            _pair(field): count for field, count in dict(raw["tally"]).items()
        }
        polls: dict[str, int] = {}
        for open_polls in dict(raw["pollers"]).values():
            for poll, count in dict(open_polls).items():
                polls[_pair(poll)[0]] = polls.get(_pair(poll)[0], 0) + count
        oldest_ms, lost, ended = dict(raw["oldest"]), dict(raw["lost"]), dict(raw["ended"])

        def row(activity: str) -> ActivityStatus:
            count = {state: tally.get((activity, state), 0) for state in State}
            age_ms = oldest_ms.get(activity)
            return ActivityStatus(
                activity=activity,
                in_flight=sum(count.values()),
                queued=count[State.QUEUED],
                running=count[State.RUNNING],
                outbox=count[State.SETTLED],
                lost=lost.get(activity, 0),
                polls=polls.get(activity, 0),
                oldest_s=None if age_ms is None else age_ms / 1000,
                succeeded=ended.get(f"{activity}|succeeded", 0),
                failed=ended.get(f"{activity}|failed", 0),
            )

        names = dict.fromkeys([*activities, *sorted(activity for activity, _ in tally)])
        workers = [
            WorkerStatus(
                worker,
                int(info["slots"]),
                tuple(info["queues"]),
                info["running"],
                info["lease_ms"] / 1000,
            )
            for worker, info in sorted(dict(raw["workers"]).items())
        ]
        return Status(
            [row(name) for name in names],
            workers,
            sorted(dict(raw["pollers"])),
            {name: age_ms / 1000 for name, age_ms in dict(raw["passes"]).items()},
            raw["outbox_ms"] / 1000,
        )

    def close(self) -> None:
        """Close the connections."""
        self._scripts.redis.close()


def _pair(field_name: str) -> tuple[str, str]:
    first, _, second = field_name.partition("|")
    return first, second
