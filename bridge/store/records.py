"""What the processes with AWS credentials pass to the store, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from bridge.heartbeat_ratio import INTERVALS_PER_HEARTBEAT_SECONDS
from bridge.model import Claim, Job, Outcome


class PassKind(StrEnum):
    """A kind of pass: one run of it begins at each tick, in whichever process is first."""

    HEARTBEAT = "heartbeat"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a poller has open on an activity and would like to open.

    Attributes:
        fresh: Polls that may still bring a waiting task: just opened, or answered with a task
            that is not stored yet.
        want: How many more polls it would open.
        idle: Polls that have been open for longer: they found the activity's queue empty.
        place: Region and account of the activity; empty: the process's own.
    """

    activity: str
    queue: str
    fresh: int
    want: int
    idle: int = 0
    place: str = ""


class PollRefusal(StrEnum):
    """Why a poller may not open as many polls on an activity as it asked for."""

    NONE = ""
    THROTTLED = "throttled"
    """Step Functions throttles reports or heartbeats in that region and account."""
    NO_WORKER = "no worker"
    """No live worker serves the queue."""
    HELD_BACK = "held back"
    """Workers hold back claims of the activity for its ``rate_limit``."""
    COVERED = "covered"
    """An idle poll is open on the activity, so its queue is empty. Or another poller has one fresh
    poll on it, which finds out whether the queue is empty."""
    NO_ROOM = "no room"
    """The slots and the waiting room of the workers that serve the queue are full."""
    SHARE = "share"
    """This poller has its share of the room; the rest is for the other pollers."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a poller may open.

    Attributes:
        slots: Slots of the live workers that serve any of the queues.
        polls: For each wish, in order, how many more polls it may open.
        refused: For each wish, why it was not granted in full.
    """

    slots: int
    polls: list[int]
    refused: list[PollRefusal]


@dataclass(frozen=True, slots=True)
class PendingReport:
    """An outcome that Step Functions has not taken yet.

    Attributes:
        waited_s: How long it has been in the outbox, by the store's clock.
    """

    claim_id: str
    token: str = field(repr=False)
    outcome: Outcome = field(repr=False)
    activity: str
    waited_s: float


@dataclass(frozen=True, slots=True)
class DueReports:
    """What was taken from the outbox, and when the next one is due (None: the outbox is empty)."""

    reports: list[PendingReport]
    next_due_s: float | None


# A heartbeat is due one interval after the one before it: the rest of HeartbeatSeconds is left.
_MS_LEFT_PER_INTERVAL_S = 1000 * (INTERVALS_PER_HEARTBEAT_SECONDS - 1)


@dataclass(frozen=True, slots=True)
class DueHeartbeat:
    """A token that is due for a heartbeat.

    Attributes:
        missed_ms: Since when it has been due, Unix ms of the store's clock. If earlier heartbeats
            failed, this is when the first of them was due.
    """

    claim_id: str
    token: str = field(repr=False)
    interval_s: float
    missed_ms: int
    activity: str

    @property
    def urgency_ms(self) -> float:
        """Orders heartbeats: the token that times out first has the lowest value.

        Step Functions does not tell HeartbeatSeconds, so the time-out is estimated from the
        interval with the ratio of ``bridge.heartbeat_ratio``.
        """
        return self.missed_ms + _MS_LEFT_PER_INTERVAL_S * self.interval_s


class UnfinishedJob(NamedTuple):
    """A job whose claim was closed before the job had ended."""

    job: Job
    activity: str


class EndedClaim(NamedTuple):
    """A closed claim that had an outcome; seconds are those of the store's clock.

    Attributes:
        worker: The worker that ran it last; empty: it did not run.
        error: Error name of a failure that was not reported to Step Functions; else empty.
        waited_s: From its claim to its first run; None: it did not run.
        ran_s: How long its last run took; None: it was settled while it did not run.
        unreported_s: From its outcome until it was closed.
    """

    activity: str
    worker: str
    error: str
    waited_s: float | None
    ran_s: float | None
    unreported_s: float | None


@dataclass(frozen=True, slots=True)
class ClosedClaims:
    """Claims that were closed: those whose job had not ended, and those with an outcome."""

    unfinished: list[UnfinishedJob]
    ended: list[EndedClaim]


class LostJob(NamedTuple):
    """A job on a worker whose lease has ended."""

    job: Job
    worker: str
    activity: str


class UnstartedClaim(NamedTuple):
    """A claim whose job is to be published.

    Attributes:
        retry: Celery's count of retries at which the job continues.
    """

    claim: Claim
    retry: int


@dataclass(frozen=True, slots=True)
class DueHeartbeats:
    """Tokens that are due for a heartbeat.

    Attributes:
        looked: How many claims were due; fewer than the limit means that no more are due.
        given_up: Jobs of claims that were failed, which may have no heartbeat; to be revoked.
    """

    heartbeats: list[DueHeartbeat]
    looked: int
    given_up: list[UnfinishedJob]
