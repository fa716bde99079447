"""What the processes with AWS credentials ask of the store, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from bridge.heartbeat_ratio import INTERVALS_PER_HEARTBEAT_SECONDS
from bridge.model import Claim, Job, Outcome


class PassKind(StrEnum):
    """What is done once a tick, by whoever gets to it."""

    HEARTBEAT = "heartbeat"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a poller has open on an activity and would like to open.

    Attributes:
        fresh: Its polls that may still bring a waiting task: open for a moment only, or answered
            with a task that is not stored yet.
        want: How many more it would open.
        idle: Its polls that have been open for longer: they found the activity's queue empty.
        place: Region and account of its calls; empty: the process's own.
    """

    activity: str
    queue: str
    fresh: int
    want: int
    idle: int = 0
    place: str = ""


class PollRefusal(StrEnum):
    """Why a poller may not open all the polls that it asked for on an activity."""

    NONE = ""
    THROTTLED = "throttled"
    """Step Functions throttles calls that matter more, in that region and account."""
    NO_WORKER = "no worker"
    """No live worker serves the queue."""
    HELD_BACK = "held back"
    """Workers hold claims of the activity back for its ``rate_limit``."""
    COVERED = "covered"
    """An idle poll is open on the activity: its queue is empty. Or another poller's only poll on it
    is fresh, and finds out."""
    NO_ROOM = "no room"
    """The slots and the waiting room of the workers that serve the queue are taken."""
    SHARE = "share"
    """This poller has its part of the room; the rest is for the other pollers."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a poller may open.

    Attributes:
        slots: Slots of the live workers that serve any of the queues; 0: nobody would do the work.
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
    """What was taken from the outbox, and when to look again (None: when something comes)."""

    reports: list[PendingReport]
    next_due_s: float | None


# A heartbeat is due one interval after the one before it: the rest of HeartbeatSeconds is left.
_MS_LEFT_PER_INTERVAL_S = 1000 * (INTERVALS_PER_HEARTBEAT_SECONDS - 1)


@dataclass(frozen=True, slots=True)
class DueHeartbeat:
    """A token that is due for a heartbeat.

    Attributes:
        missed_ms: Since when it has been due, Unix ms of the store's clock; before this heartbeat,
            if earlier ones did not get through.
    """

    claim_id: str
    token: str = field(repr=False)
    interval_s: float
    missed_ms: int
    activity: str

    @property
    def urgency_ms(self) -> float:
        """Orders heartbeats: the token whose time-out comes first has the least.

        Step Functions does not tell HeartbeatSeconds, so the time-out is estimated from the
        interval with the ratio of ``bridge.heartbeat_ratio``.
        """
        return self.missed_ms + _MS_LEFT_PER_INTERVAL_S * self.interval_s


class UnfinishedJob(NamedTuple):
    """A job whose claim was closed before it had ended."""

    job: Job
    activity: str


class EndedClaim(NamedTuple):
    """What became of a claim that had an outcome, in seconds of the store's clock.

    Attributes:
        worker: Who ran it last; empty: no worker did.
        error: Error name of a failure that Step Functions was not told of; else empty.
        waited_s: From claimed until it first began; None: it never did.
        ran_s: Its last run; None: it was settled outside any.
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
    """What was closed: claims whose job had not ended, and those with an outcome."""

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
        retry: Celery's count of retries that the job had come to.
    """

    claim: Claim
    retry: int


@dataclass(frozen=True, slots=True)
class DueHeartbeats:
    """Tokens to beat now, and how many were looked at: fewer than asked for means no more due.

    Attributes:
        given_up: Jobs of claims that were settled as failures meanwhile; to be revoked.
    """

    heartbeats: list[DueHeartbeat]
    looked: int
    given_up: list[UnfinishedJob]
