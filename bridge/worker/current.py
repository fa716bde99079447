"""``bridge.current()``: what a running job may know of its claim, and say."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from celery.exceptions import Ignore

from bridge.app_state import Installation
from bridge.errors import BridgeError, SchemaMismatch, StoreUnavailable
from bridge.model import Job
from bridge.statemachine import Context

logger = logging.getLogger(__name__)

ASK_INTERVAL_S = 0.5
"""``cancelled`` asks the store at most so often: it may stand in the innermost loop."""
AWAY_INTERVAL_S = 5.0


class JobCancelled(BridgeError, Ignore):  # type: ignore[misc]
    """Raised by ``bridge.current().checkpoint()``: no outcome of this job is taken any more.

    Celery's ``Ignore``, so that ``autoretry_for=(Exception,)`` does not run the job again.
    """


class Current:
    """The job that runs here; ``bridge.current()`` returns it.

    Args:
        run: Unique for each delivery; names the right to run.

    Attributes:
        claim_id: Names the activity task in logs; never the token.
        attempt: 1, and more after a worker was lost.
        context: The execution and the state, where the state passes them (``with_context=True`` of
            ``bridge.statemachine.activity_task``); else None.
    """

    _published = True
    """False once the broker has not taken the message of the job's retry."""

    def __init__(
        self, job: Job, *, run: str, bridge: Installation, context: Context | None = None
    ) -> None:
        self.context = context
        self.claim_id, self.attempt = job
        self.run = run
        self._job = job
        self._bridge = bridge
        self._reason = ""
        self._ask_at = 0.0

    @property
    def _job_id(self) -> str:
        """Celery's task id of the job."""
        return self._job.id

    @property
    def cancelled(self) -> bool:
        """Whether no outcome of this job is taken any more: stop, it would be dropped.

        True once Step Functions has closed the token (the execution was stopped, a time-out has
        passed), which a heartbeat hears of; or when this worker was thought dead and the claim runs
        elsewhere. Cheap enough for a loop. False while the store is away.
        """
        return bool(self.cancel_reason)

    @property
    def cancel_reason(self) -> str:
        """Why the job is cancelled, for people; empty: it is not."""
        now = time.monotonic()
        if self._reason or now < self._ask_at:
            return self._reason
        try:
            said = self._bridge.jobs.cancel_reason(self._job, run=self.run)
        except (SchemaMismatch, StoreUnavailable) as exc:
            logger.info("whether job %s is cancelled is not known: %s", self._job.id, exc)
            self._ask_at = time.monotonic() + AWAY_INTERVAL_S
            return ""
        self._ask_at = now + ASK_INTERVAL_S
        if said in ("lost", "reported"):
            self._reason = (
                "this run no longer holds its claim: the lease of its worker had ended, so that "
                "it runs elsewhere, or has ended there"
            )
        elif said:
            self._reason = (
                f"Step Functions says {said}: its execution was stopped, or a time-out has passed"
            )
        return self._reason

    def checkpoint(self) -> None:
        """End the job here if it is cancelled.

        Raises:
            JobCancelled: Let it pass; Celery then drops the job without a retry or a failure.
        """
        reason = self.cancel_reason
        if reason:
            raise JobCancelled(reason)

    def heartbeat(self) -> bool:
        """Say that the job makes progress; needed with ``heartbeat="manual"`` only.

        Heartbeats are sent for two more intervals. False: this run no longer holds its claim, and
        its outcome may be dropped. While the store is away it is not known, and True.
        """
        try:
            return self._bridge.jobs.keep_alive(self._job, run=self.run)
        except (SchemaMismatch, StoreUnavailable) as exc:
            # Raised, it would be taken for the task's own failure.
            logger.warning("the progress of job %s is not noted: %s", self._job.id, exc)
            return True


_current: ContextVar[Current | None] = ContextVar("bridge_current", default=None)


def current() -> Current:
    """The job that runs here.

    Raises:
        LookupError: No job of the bridge runs here: the task was called in another way.
    """
    job = _current.get()
    if job is None:
        raise LookupError("bridge.current(): no activity task runs here; the task was called alone")
    return job


def running_here() -> Current | None:
    """The job that runs here, if one does."""
    return _current.get()


@contextmanager
def as_current(job: Current) -> Iterator[None]:
    """Make it the job that runs here."""
    token = _current.set(job)
    try:
        yield
    finally:
        _current.reset(token)
