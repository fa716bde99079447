"""The rows in the answers of scripts, with the fields that a script's ``Returns`` names.

A script answers a list of rows flat, with the fields of all rows one after the other: a list for
each row would take longer to read. Fields are what Redis knows: strings and whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

from bridge.model import Claim, Job, Outcome
from bridge.store.records import (
    DueHeartbeat,
    EndedClaim,
    LostJob,
    PendingReport,
    UnfinishedJob,
    UnstartedClaim,
)

RowT = TypeVar("RowT", bound=NamedTuple)


def rows_of(kind: type[RowT], flat: Iterable[Any]) -> list[RowT]:
    """The rows of a flat list; each takes as many elements as ``kind`` has fields."""
    values = iter(flat)
    return list(map(kind._make, zip(*[values] * len(kind._fields), strict=True)))


class JobRow(NamedTuple):
    """A job (renew_lease)."""

    claim_id: str
    attempt: str

    def record(self) -> Job:
        """What the store's callers get."""
        return Job(self.claim_id, int(self.attempt))


class UnfinishedRow(NamedTuple):
    """A job whose claim was closed or failed before the job had ended (close, take_heartbeats)."""

    claim_id: str
    attempt: str
    activity: str

    def record(self) -> UnfinishedJob:
        """What the store's callers get."""
        return UnfinishedJob(Job(self.claim_id, int(self.attempt)), self.activity)


class EndedRow(NamedTuple):
    """A closed claim that had an outcome (close); -1 ms: not known."""

    activity: str
    worker: str
    error: str
    waited_ms: int
    ran_ms: int
    unreported_ms: int

    def record(self) -> EndedClaim:
        """What the store's callers get."""
        return EndedClaim(
            activity=self.activity,
            worker=self.worker,
            error=self.error,
            waited_s=_seconds(self.waited_ms),
            ran_s=_seconds(self.ran_ms),
            unreported_s=_seconds(self.unreported_ms),
        )


class LostRow(NamedTuple):
    """A job on a worker whose lease has ended (find_lost)."""

    claim_id: str
    attempt: str
    worker: str
    activity: str

    def record(self) -> LostJob:
        """What the store's callers get."""
        return LostJob(Job(self.claim_id, int(self.attempt)), self.worker, self.activity)


class UnstartedRow(NamedTuple):
    """A claim whose job is to be published (take_unstarted)."""

    claim_id: str
    activity: str
    attempt: str
    retry: str
    input: str

    def record(self) -> UnstartedClaim:
        """What the store's callers get."""
        claim = Claim(
            claim_id=self.claim_id,
            activity=self.activity,
            input=self.input,
            attempt=int(self.attempt),
        )
        return UnstartedClaim(claim, int(self.retry))


class ReportRow(NamedTuple):
    """An outcome that is due to be reported (take_outbox)."""

    claim_id: str
    token: str
    outcome: str
    activity: str
    waited_ms: int

    def record(self) -> PendingReport:
        """What the store's callers get."""
        return PendingReport(
            claim_id=self.claim_id,
            token=self.token,
            outcome=Outcome.load(self.outcome),
            activity=self.activity,
            waited_s=self.waited_ms / 1000,
        )


class HeartbeatRow(NamedTuple):
    """A token that is due for a heartbeat (take_heartbeats)."""

    claim_id: str
    token: str
    interval_ms: int
    missed_ms: int
    activity: str

    def record(self) -> DueHeartbeat:
        """What the store's callers get."""
        return DueHeartbeat(
            claim_id=self.claim_id,
            token=self.token,
            interval_s=self.interval_ms / 1000,
            missed_ms=self.missed_ms,
            activity=self.activity,
        )


def _seconds(milliseconds: int) -> float | None:
    return None if milliseconds < 0 else milliseconds / 1000
