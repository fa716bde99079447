"""``bridge.current()``: what a running task can learn about its claim, and its heartbeats."""

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
"""``cancelled`` asks the store once in this time, at most: a task may read it in its inner loop."""
AWAY_INTERVAL_S = 5.0
"""How long ``cancelled`` does not ask again after the store did not answer."""


class JobCancelled(BridgeError, Ignore):  # type: ignore[misc]
    """Raised by ``bridge.current().checkpoint()`` when no outcome of this job is taken any more.

    It is an ``Ignore`` of Celery's, so that ``autoretry_for=(Exception,)`` does not run the job
    again.
    """


class Current:
    """The job that runs here; ``bridge.current()`` returns it.

    Args:
        run: Names this delivery in the store; only its holder may run.

    Attributes:
        claim_id: Names the activity task in logs; never the token.
        attempt: 1, and more after a worker was lost.
        context: The execution and the state, where the state passes them (``with_context=True`` of
            ``bridge.statemachine.activity_task``); else None.
    """

    _published = True
    """False after the broker did not take the message of the job's retry."""

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
        """Whether the task should stop, because no outcome of this job is taken any more.

        True when Step Functions has closed the token (the execution was stopped, or a time-out has
        passed), which the bridge learns from a heartbeat, or when this worker's lease had ended and
        the claim runs elsewhere. Cheap enough for a loop. False while the store is away.
        """
        return bool(self.cancel_reason)

    @property
    def cancel_reason(self) -> str:
        """Why the job is cancelled, for people; empty when it is not."""
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
            JobCancelled: Do not catch it: Celery then drops the job without a retry or a failure.
        """
        reason = self.cancel_reason
        if reason:
            raise JobCancelled(reason)

    def heartbeat(self) -> bool:
        """Say that the job makes progress; needed with ``heartbeat="manual"`` only.

        The bridge sends heartbeats for two more intervals.

        Returns:
            False when this run no longer holds its claim, so that its outcome may be dropped. True
            otherwise, also while the store is away.
        """
        try:
            return self._bridge.jobs.keep_alive(self._job, run=self.run)
        except (SchemaMismatch, StoreUnavailable) as exc:
            # If this were raised, it would count as the task's own failure.
            logger.warning("the progress of job %s is not noted: %s", self._job.id, exc)
            return True


_current: ContextVar[Current | None] = ContextVar("bridge_current", default=None)


def current() -> Current:
    """The job that runs in this thread or greenlet.

    Raises:
        LookupError: No job of the bridge runs here: the task was called in another way.
    """
    job = _current.get()
    if job is None:
        raise LookupError("bridge.current(): no activity task runs here; the task was called alone")
    return job


def running_here() -> Current | None:
    """The job that runs here; None when none does."""
    return _current.get()


@contextmanager
def as_current(job: Current) -> Iterator[None]:
    """Make ``current()`` return this job within the ``with`` block."""
    token = _current.set(job)
    try:
        yield
    finally:
        _current.reset(token)
