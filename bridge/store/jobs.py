"""The store as workers see it: may this job run, and what came of it. Blocking."""

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
    """The answer to: may this delivery run the user's code?"""

    RUN = "run"
    CLOSED = "closed"
    STALE = "stale"
    SETTLED = "settled"
    RUNNING = "running"
    UNLEASED = "unleased"


class Settled(StrEnum):
    """What became of an outcome that was brought to the store."""

    STORED = "stored"
    """It is in the outbox."""
    SETTLED = "settled"
    """Another outcome was first; this one is dropped."""
    STALE = "stale"
    """A failure of an attempt that is no longer on; it is dropped."""
    RUNNING = "running"
    """Another delivery of the job runs: the ending of one that never began is dropped."""
    WAITING = "waiting"
    """No delivery of the job runs: the ending of one that did not begin, or is to come again, is
    dropped."""
    CLOSED = "closed"
    """Step Functions no longer waits for it; it is dropped."""


class Delivery(StrEnum):
    """Which delivery of a job an outcome is of; in another state of the claim it is dropped."""

    ANY = "any"
    UNBEGUN = "unbegun"
    """One that never began: it counts only while no other delivery of the job runs."""
    RUNNING = "running"
    """One that runs: it counts only while the claim is marked as running."""


class Recovery(StrEnum):
    """What became of a claim whose runner is gone."""

    AGAIN = "again"
    """Its next attempt waits to be dispatched."""
    FAILED = "failed"
    """No attempt is left, or none was allowed: the failure is in the outbox."""
    MOVED = "moved"
    """It had ended, or was lost before."""


class Renewal(NamedTuple):
    """What a worker hears when it renews its lease.

    Attributes:
        renewed: False: there was none, or it had ended.
        forgotten: Jobs that are marked as running here, and that Celery no longer knows of: they
            ended, and nobody brought an outcome.
        unwanted: Claims that run here and are closed, or run elsewhere.
    """

    renewed: bool
    forgotten: list[Job]
    unwanted: frozenset[str]


def lease_timeout_s(settings: Settings) -> float:
    """How long a renewal may take: one that hangs is tried again before the lease ends.

    Renewed every third of a lease, it leaves time for three tries.
    """
    return min(SOCKET_TIMEOUT_S, max(MIN_LEASE_TIMEOUT_S, settings.lease_s / 6))


class JobStore:
    """The claims' jobs, from a worker's point of view.

    No method returns a token: workers never see one. Every method raises ``StoreUnavailable``
    when Redis does not answer; all are harmless when repeated.

    Args:
        threaded: Whether jobs run in threads of this process: what they ask at once shares round
            trips.
    """

    def __init__(self, settings: Settings, *, threaded: bool = False) -> None:
        self._settings = settings
        self._scripts = Scripts(settings)  # a lease never waits for what jobs ask
        # For a lease, and for what a task asks while it runs: given up soon, and asked again.
        self._brief = Scripts(settings, timeout_s=lease_timeout_s(settings), tries=1)
        self._of_jobs = SharedScripts(settings) if threaded else self._scripts

    def start(self, job: Job, *, retry: int, worker: str, run: str) -> Start:
        """Ask for the right to run the user's code; ``RUN`` marks the claim as running.

        Args:
            retry: Celery's count of retries of this delivery.
            worker: Who runs it; needs a lease.
            run: Unique for each delivery, so that a repeated call is known as one.
        """
        args = (job.claim_id, job.attempt, retry, worker, run)
        return Start(self._of_jobs.call("start", *args))

    def release(
        self, job: Job, *, run: str, retry: int, delay_s: float, published: bool = True
    ) -> bool:
        """End a run whose job will come again as Celery retry ``retry`` after ``delay_s``.

        Args:
            published: False: the broker did not take its message; recovery publishes it then.
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
        """Bring the outcome of a job; the first one wins."""
        args = (job.claim_id, job.attempt, int(outcome.ok), outcome.dump(), of)
        return Settled(self._of_jobs.call("settle", *args))

    def recover(
        self, job: Job, *, worker: str, outcome: Outcome, job_is_gone: bool = False
    ) -> Recovery:
        """The process that ran the job is gone: its claim runs again or fails with ``outcome``.

        Args:
            worker: Who ran it; a claim that has moved on to another is left alone.
            job_is_gone: Whether Celery has dropped the job, too: it runs nowhere, whatever the
                worker's lease, and nobody can start it any more.
        """
        patience_ms = ms(self._settings.patience_s)
        args = (job.claim_id, job.attempt, worker, outcome.dump(), int(job_is_gone), patience_ms)
        return Recovery(self._brief.call("recover", *args))

    def keep_alive(self, job: Job, *, run: str) -> bool:
        """Note that a job with ``heartbeat="manual"`` makes progress; False: it lost its claim."""
        return bool(self._brief.call("keep_alive", job.claim_id, run))

    def cancel_reason(self, job: Job, *, run: str) -> str:
        """Why this run of the job is no longer wanted; empty: it is.

        ``"lost"``: the worker's lease had ended, the claim runs elsewhere or has failed;
        ``"reported"``: it has ended there. Else what Step Functions said when the claim was closed,
        such as ``"TaskTimedOut"``.
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
        """Extend the worker's lease, and announce what it can take and what occupies it.

        Args:
            number: Counts this worker's renewals, so that a repeated call is known as one.
            slots: How many jobs it runs at once now; 0 while it drains.
            queues: Those that it consumes now.
            ordinary: Slots that tasks occupy which are not of the bridge.
            fetches: Whether it would take another message now, so that one that it has not may be
                lost.
            claim_ids: Claims whose jobs Celery has given it: running, waiting, or for later.
            active: Those of them that run.
            held_back: Those of them that wait for a ``rate_limit``.
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
        """End the lease of a worker that has ended; how many claims it leaves to recovery."""
        # One try: the process is to end, and its lease ends by itself.
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
