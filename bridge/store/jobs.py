"""The store for workers: whether a job may run, and how it ended. Blocking."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from bridge.model import Job, Outcome
from bridge.settings import Settings
from bridge.store.connection_options import SOCKET_TIMEOUT_S
from bridge.store.rows import JobRow, rows_of
from bridge.store.scripts import Scripts, SharedScripts, ms

MIN_LEASE_TIMEOUT_S = 0.25


class Start(StrEnum):
    """Whether a delivery may run the user's code, and if not, why; see ``lua/start.lua``."""

    RUN = "run"
    CLOSED = "closed"
    STALE = "stale"
    SETTLED = "settled"
    RUNNING = "running"
    UNLEASED = "unleased"


class Settled(StrEnum):
    """What the store did with an outcome."""

    STORED = "stored"
    """It is in the outbox."""
    SETTLED = "settled"
    """Another outcome was stored before; this one is dropped."""
    STALE = "stale"
    """It is dropped: it is a failure of an old attempt."""
    RUNNING = "running"
    """It is dropped: its delivery never began, and another delivery of the job runs."""
    WAITING = "waiting"
    """It is dropped: it counts only for a job that runs, and this job is to run later."""
    CLOSED = "closed"
    """The claim is closed; the outcome is dropped."""


class Delivery(StrEnum):
    """Which delivery an outcome is of. In another state of the claim the outcome is dropped."""

    ANY = "any"
    UNBEGUN = "unbegun"
    """A delivery that never began: its outcome counts only while no other delivery runs."""
    RUNNING = "running"
    """A delivery that runs: its outcome counts only while the claim is marked as running."""


class Recovery(StrEnum):
    """What the store did with a claim whose process is gone."""

    AGAIN = "again"
    """Its next attempt waits to be dispatched."""
    FAILED = "failed"
    """No attempt is left, or none was allowed: the failure is in the outbox."""
    MOVED = "moved"
    """The worker did not run it any more, or has renewed its lease: nothing was done."""


class Renewal(NamedTuple):
    """The store's answer to a worker that renews its lease.

    Attributes:
        renewed: False: there was no lease, or it had ended.
        forgotten: Jobs that are marked as running on this worker and that Celery does not know any
            more: they ended without an outcome.
        unwanted: Claims that run on this worker though they are closed or run elsewhere.
    """

    renewed: bool
    forgotten: list[Job]
    unwanted: frozenset[str]


def lease_timeout_s(settings: Settings) -> float:
    """How long one try to renew a lease may take.

    A lease is renewed every third of its length: a renewal that hangs can be tried three times
    before the lease ends.
    """
    return min(SOCKET_TIMEOUT_S, max(MIN_LEASE_TIMEOUT_S, settings.lease_s / 6))


class JobStore:
    """The claims' jobs, for a worker.

    No method returns a token: workers never see one. Every method raises ``StoreUnavailable``
    when Redis does not answer; all are harmless when repeated.

    Args:
        threaded: Whether jobs run in threads of this process: their simultaneous calls are then
            sent in one round trip.
    """

    def __init__(self, settings: Settings, *, threaded: bool = False) -> None:
        self._settings = settings
        self._scripts = Scripts(settings)
        # For leases, which must not wait for calls of jobs, and for calls of a task while it runs:
        # both have a short time-out and are repeated later.
        self._brief = Scripts(settings, timeout_s=lease_timeout_s(settings), tries=1)
        self._of_jobs = SharedScripts(settings) if threaded else self._scripts

    def start(self, job: Job, *, retry: int, worker: str, run: str) -> Start:
        """Ask for the right to run the user's code; ``RUN`` marks the claim as running.

        Args:
            retry: Celery's count of retries of this delivery.
            worker: The worker that runs it; it needs a lease.
            run: Unique for each delivery, so that a repeated call is recognized.
        """
        args = (job.claim_id, job.attempt, retry, worker, run)
        return Start(self._of_jobs.call("start", *args))

    def release(
        self, job: Job, *, run: str, retry: int, delay_s: float, published: bool = True
    ) -> bool:
        """End a run whose job is delivered again, as Celery retry ``retry`` after ``delay_s``.

        Args:
            published: False: the broker did not take the message, and recovery publishes it.
        """
        patience_ms = ms(self._settings.patience_s)
        grace_ms = ms(self._settings.lease_s)
        args = (
            job.claim_id,
            job.attempt,
            run,
            retry,
            ms(delay_s),
            patience_ms,
            grace_ms,
            int(published),
        )
        return bool(self._of_jobs.call("release", *args))

    def settle(self, job: Job, outcome: Outcome, *, of: Delivery = Delivery.ANY) -> Settled:
        """Store the outcome of a job; the first one that is stored wins."""
        args = (job.claim_id, job.attempt, int(outcome.ok), outcome.dump(), of)
        return Settled(self._of_jobs.call("settle", *args))

    def recover(
        self, job: Job, *, worker: str, outcome: Outcome, job_is_gone: bool = False
    ) -> Recovery:
        """Let a claim whose process is gone run again, or fail it with ``outcome``.

        Args:
            worker: The worker that ran it; a claim that another worker runs is left alone.
            job_is_gone: Whether Celery has dropped the job, too: it runs nowhere, even if the
                worker has a lease, and cannot start any more.
        """
        patience_ms = ms(self._settings.patience_s)
        args = (job.claim_id, job.attempt, worker, outcome.dump(), int(job_is_gone), patience_ms)
        return Recovery(self._brief.call("recover", *args))

    def keep_alive(self, job: Job, *, run: str) -> bool:
        """Note that a job with ``heartbeat="manual"`` makes progress; False: it lost its claim."""
        return bool(self._brief.call("keep_alive", job.claim_id, run))

    def cancel_reason(self, job: Job, *, run: str) -> str:
        """Why this run of the job should stop; empty: it should go on.

        ``"lost"``: the worker's lease had ended, and the claim runs elsewhere or has failed.
        ``"reported"``: it has ended elsewhere. Otherwise the error with which Step Functions said
        that the token is closed, such as ``"TaskTimedOut"``.
        """
        return str(self._brief.call("cancel_reason", job.claim_id, run))

    def renew_lease(
        self,
        worker: str,
        *,
        number: int,
        slots: int,
        queues: Iterable[str],
        ordinary: int = 0,
        fetches: bool = True,
        claim_ids: Iterable[str] = (),
        active: Iterable[str] = (),
        held_back: Iterable[str] = (),
    ) -> Renewal:
        """Extend the worker's lease; announce what it can take, and what occupies its slots.

        Args:
            number: Counts this worker's renewals, so that a repeated call is recognized.
            slots: How many jobs it runs at once now; 0 while it drains.
            queues: Queues that it consumes now.
            ordinary: Slots that ordinary tasks, which are not the bridge's, occupy.
            fetches: Whether it would take another message now. If so, a message that it has not
                taken may be lost.
            claim_ids: Claims whose jobs Celery has given it: running, waiting, or for later.
            active: Claims of these whose jobs run.
            held_back: Claims of these whose jobs wait for a ``rate_limit``.
        """
        announcement = json.dumps(
            {"slots": slots, "queues": sorted(queues), "ordinary": ordinary, "fetches": fetches}
        )
        held = json.dumps(
            {"jobs": sorted(claim_ids), "active": sorted(active), "held_back": sorted(held_back)}
        )
        lease_ms = ms(self._settings.lease_s)
        args = (worker, lease_ms, announcement, held, number)
        renewed, forgotten, unwanted = self._brief.call("renew_lease", *args)
        return Renewal(
            renewed=bool(renewed),
            forgotten=[row.record() for row in rows_of(JobRow, forgotten)],
            unwanted=frozenset(unwanted),
        )

    def end_lease(self, worker: str) -> int:
        """End the lease of a worker that stops; returns how many claims it leaves to recovery."""
        # One try: the process is about to end, and its lease would run out without this call.
        scripts = Scripts(self._settings, timeout_s=SOCKET_TIMEOUT_S, tries=0)
        try:
            return int(scripts.call("end_lease", worker))
        finally:
            scripts.redis.close()

    def close(self) -> None:
        """Close the connections."""
        self._scripts.redis.close()
        self._brief.redis.close()
        self._of_jobs.redis.close()
