"""What is in flight, who works on it, and what room there is for more. Reads only. Blocking."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.model import State
from bridge.settings import Settings
from bridge.store.connection import ms
from bridge.store.records import PollRefusal
from bridge.store.scripts import Scripts


@dataclass(frozen=True, slots=True)
class ActivityStatus:
    """One activity's claims and polls.

    Attributes:
        in_flight: Claimed and not closed.
        queued: Not begun, or to run again: those that wait, are in a countdown or held back.
        outbox: Settled; Step Functions has not taken the outcome yet.
        lost: Running on a worker whose lease has ended.
        polls: Open polls, of all pollers.
        succeeded: Successes so far; counted when an outcome is stored.
        failed: Failures so far.
        oldest_s: Age of the oldest claim in flight, in seconds; None without one.
        waiting_in: Queue → claims in it that no worker has begun and that are due.
        countdown: Claims that wait for the time of a retry.
        held_back: Claims that workers hold back for the task's ``rate_limit``.
        fresh: Open polls that may still bring a waiting task.
        idle: Open polls that found nothing waiting at Step Functions.
        longest_s: The longest of the last runs; None: nothing ran lately.
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
    waiting_in: Mapping[str, int] = field(default_factory=dict)
    countdown: int = 0
    held_back: int = 0
    fresh: int = 0
    idle: int = 0
    longest_s: float | None = None

    @property
    def waiting(self) -> int:
        """Claims that no worker has begun and that are due, in all queues."""
        return sum(self.waiting_in.values())


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker: its lease has ended when ``lease_s`` is negative.

    Attributes:
        slots: Jobs that it runs at once now; 0 while it drains.
        queues: Those that it consumes now.
        running: Claims that it runs.
        ordinary: Slots that tasks occupy which are not of the bridge.
        unwanted: Jobs that it runs though their claim is closed, or runs elsewhere.
        offered: Slots that it offers to claims: those that nothing else occupies.
        used: Offered slots in which claims run.
        fetches: Whether it would take another message from the broker now.
    """

    worker: str
    slots: int
    queues: tuple[str, ...]
    running: int
    lease_s: float
    ordinary: int = 0
    unwanted: int = 0
    offered: int = 0
    used: int = 0
    fetches: bool = False

    @property
    def live(self) -> bool:
        """Whether its lease runs."""
        return self.lease_s >= 0

    @property
    def draining(self) -> bool:
        """Whether it lives, and takes no new job."""
        return self.live and self.slots == 0

    @property
    def free(self) -> int:
        """Slots that nothing occupies; none of a worker whose lease has ended."""
        return max(0, self.offered - self.used) if self.live else 0


@dataclass(frozen=True, slots=True)
class SlotUsage:
    """What occupies the slots of several workers; the parts add up to ``slots``.

    Attributes:
        slots: Of the live workers; those that drain have none, and what they run counts nowhere.
        claims: Slots in which claims run.
        ordinary: Slots that tasks occupy which are not of the bridge.
        unwanted: Slots of jobs whose claim is closed, or runs elsewhere.
        free: Slots that nothing occupies.
    """

    slots: int
    claims: int
    ordinary: int
    unwanted: int
    free: int

    @classmethod
    def of(cls, workers: Iterable[WorkerStatus]) -> SlotUsage:
        """The sums over those of the workers that live."""
        slots = claims = ordinary = unwanted = 0
        for worker in workers:
            if not worker.live:
                continue
            slots += worker.slots
            # A pool that shrank runs more for a while than it has slots for.
            left = worker.slots
            ordinary += (part := min(worker.ordinary, left))
            left -= part
            unwanted += (part := min(worker.unwanted, left))
            claims += min(worker.running, left - part)
        return cls(slots, claims, ordinary, unwanted, slots - claims - ordinary - unwanted)

    @property
    def occupied(self) -> int:
        """Slots that anything occupies."""
        return self.slots - self.free


@dataclass(frozen=True, slots=True)
class OpenPolls:
    """The open polls of one poller on one activity.

    Attributes:
        queue: Where it would put what they bring.
        fresh: Those that may still bring a waiting task.
        idle: Those that found nothing waiting at Step Functions.
    """

    poller: str
    activity: str
    queue: str
    fresh: int
    idle: int


@dataclass(frozen=True, slots=True)
class Status:
    """All activities that were asked for or have claims, all workers, and the live pollers.

    Attributes:
        passes: Kind of pass ("heartbeat", "recovery") → seconds since the last one began.
        outbox_s: Age of the oldest outcome that Step Functions has not taken.
        polls: Open polls, by poller and activity.
    """

    activities: list[ActivityStatus]
    workers: list[WorkerStatus]
    pollers: list[str] = field(default_factory=list)
    passes: dict[str, float] = field(default_factory=dict)
    outbox_s: float = 0.0
    polls: list[OpenPolls] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Room:
    """What one more poll on an activity would be told, and the sums behind it.

    Sums are over the live workers that serve the activity's queue, whatever activity the claims
    are of.

    Attributes:
        refusal: Why it would not be granted; ``NONE``: it would.
        slots: Slots of those workers.
        offered: Slots that they offer to claims: those that neither ordinary tasks nor unwanted
            jobs occupy.
        used: Offered slots in which claims run.
        waiting_room: How many claims may wait, by count: those beyond the used slots that
            ``BRIDGE_LOOK_AHEAD`` allows.
        charged: What takes that room: claims that wait, fresh polls, and idle polls of an activity
            beyond its first.
        time_room_s: Seconds of short jobs that may wait.
        time_used_s: Seconds of that which are taken.
        short: Whether the activity's jobs are short enough for the room by time.
        longest_s: The longest of its last runs; None: nothing ran lately.
        workers: How many workers there are.
    """

    refusal: PollRefusal
    slots: int = 0
    offered: int = 0
    used: int = 0
    waiting_room: int = 0
    charged: int = 0
    time_room_s: float = 0.0
    time_used_s: float = 0.0
    short: bool = False
    longest_s: float | None = None
    workers: int = 0


class StatusReader:
    """Reads the status; raises ``StoreUnavailable`` when Redis does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._scripts = Scripts(settings)

    def read(self, activities: Sequence[str]) -> Status:
        """The status of ``activities``, and of every other one that has claims."""
        return parse_status(self._scripts.call("read_status", *activities), activities)

    def room(self, activity: str, queue: str, place: str = "") -> Room:
        """What a poller would be told that asks for one more poll on the activity.

        Args:
            queue: Of the activity's jobs.
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
    """The status that ``read_status`` has answered; what it does not say counts as 0."""
    raw: dict[str, Any] = json.loads(text)

    def said(name: str) -> dict[str, Any]:
        # An empty Lua table is an empty object in JSON, for cjson knows no difference.
        return dict(raw.get(name) or {})

    tally = {_pair(field): count for field, count in said("tally").items()}
    waiting: dict[str, dict[str, int]] = {}
    for each, count in said("waiting").items():
        activity, queue = _pair(each)
        waiting.setdefault(activity, {})[queue] = count
    polls = list(_open_polls(said("pollers")))
    oldest_ms, lost, ended, longest_ms = map(said, ("oldest", "lost", "ended", "longest_ms"))
    countdown, held_back = said("countdown"), said("held_back")

    def row(activity: str) -> ActivityStatus:
        count = {state: tally.get((activity, state), 0) for state in State}
        ours = [each for each in polls if each.activity == activity]
        fresh, idle = sum(each.fresh for each in ours), sum(each.idle for each in ours)
        return ActivityStatus(
            activity=activity,
            in_flight=sum(count.values()),
            queued=count[State.QUEUED],
            running=count[State.RUNNING],
            outbox=count[State.SETTLED],
            lost=lost.get(activity, 0),
            polls=fresh + idle,
            oldest_s=_seconds(oldest_ms.get(activity)),
            succeeded=ended.get(f"{activity}|succeeded", 0),
            failed=ended.get(f"{activity}|failed", 0),
            waiting_in=waiting.get(activity, {}),
            countdown=countdown.get(activity, 0),
            held_back=held_back.get(activity, 0),
            fresh=fresh,
            idle=idle,
            longest_s=_seconds(longest_ms.get(activity)),
        )

    names = dict.fromkeys([*activities, *sorted(activity for activity, _ in tally)])
    return Status(
        [row(name) for name in names],
        [_worker(name, info) for name, info in sorted(said("workers").items())],
        sorted(said("pollers")),
        {name: age_ms / 1000 for name, age_ms in said("passes").items()},
        raw["outbox_ms"] / 1000,
        polls,
    )


def _open_polls(pollers: Mapping[str, Any]) -> Iterator[OpenPolls]:
    for poller, polls in sorted(pollers.items()):
        for where, counts in dict(polls or {}).items():
            # A poller of an earlier version says one number, of fresh polls.
            fresh, idle, *_ = [*map(int, str(counts).split()), 0]
            yield OpenPolls(poller, *_pair(where), fresh, idle)


def _worker(name: str, info: Mapping[str, Any]) -> WorkerStatus:
    return WorkerStatus(
        worker=name,
        slots=int(info["slots"]),
        queues=tuple(info["queues"]),
        running=info["running"],
        lease_s=info["lease_ms"] / 1000,
        ordinary=int(info.get("ordinary", 0)),
        unwanted=int(info.get("unwanted", 0)),
        offered=int(info.get("offered", 0)),
        used=int(info.get("used", 0)),
        fetches=bool(info.get("fetches", False)),
    )


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _pair(field_name: str) -> tuple[str, str]:
    first, _, second = field_name.partition("|")
    return first, second
