"""What the store says of activities, workers and pollers: records that are only read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ActivityStatus:
    """One activity's claims and polls.

    Attributes:
        in_flight: Claims that are not closed.
        queued: Claims whose job has not begun, or is to run again: those that wait, are in a
            countdown or are held back.
        outbox: Claims with an outcome that Step Functions has not taken yet.
        lost: Claims that run on a worker whose lease has ended.
        polls: Open polls of all pollers.
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
    """One worker.

    Attributes:
        slots: Jobs that it runs at once now; 0 while it drains.
        queues: Queues that it consumes now.
        running: Claims that it runs.
        lease_s: Seconds until its lease ends; negative: the lease has ended.
        ordinary: Slots that ordinary tasks, which are not the bridge's, occupy.
        unwanted: Jobs that it runs though their claim is closed or runs elsewhere.
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
        """Whether its lease has not ended."""
        return self.lease_s >= 0

    @property
    def draining(self) -> bool:
        """Whether it is live and takes no new job."""
        return self.live and self.slots == 0

    @property
    def free(self) -> int:
        """Slots that nothing occupies; none of a worker whose lease has ended."""
        return max(0, self.offered - self.used) if self.live else 0


@dataclass(frozen=True, slots=True)
class OpenPolls:
    """The open polls of one poller on one activity.

    Attributes:
        queue: The queue that the jobs of their tasks would go to.
        fresh: Polls that may still bring a waiting task.
        idle: Polls that found nothing waiting at Step Functions.
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
