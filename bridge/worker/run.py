"""One run of a job: its name, what is logged of it, and how its end is written to the store."""

from __future__ import annotations

import itertools
import logging
import os
import time
from base64 import urlsafe_b64encode
from typing import Any

from celery import Task

from bridge import logs, metrics
from bridge.app_state import Installation, worker_id
from bridge.model import Job, Outcome
from bridge.registry import ACTIVITY_HEADER
from bridge.statemachine import Context
from bridge.store import Settled
from bridge.support.killpoints import KillPoint, passing
from bridge.worker.current import Current
from bridge.worker.last_run import note_end
from bridge.worker.store_wait import wait_past_soft_limit

logger = logging.getLogger(__name__)

_ORIGIN = os.urandom(4)
_numbers = itertools.count()


class Run:
    """One delivery of a job, in the process or thread that runs it.

    Attributes:
        name: Names the delivery in the store; see ``new_name``.
        retry: How many of Celery's own retries came before this run.
        current: What ``bridge.current()`` returns in the task.
    """

    def __init__(
        self, bridge: Installation, task: Task, job: Job, *, context: Context | None = None
    ) -> None:
        self.bridge, self.task, self.job = bridge, task, job
        self.name = new_name()
        self.retry: int = task.request.retries or 0
        self.current = Current(job, run=self.name, bridge=bridge, context=context)

    def log_start(self) -> None:
        """Log that the user's code begins; its duration is counted from here."""
        self._began = time.monotonic()
        task, context = self.task, self.current.context
        found = self.bridge.registry.of_job(task.request.get(ACTIVITY_HEADER), task)
        self._activity: str = found.name if found else task.name
        self._fields: dict[str, Any] = {
            "activity": self._activity,
            "claim_id": self.job.claim_id,
            "attempt": self.job.attempt,
            "worker": worker_id(),
            "execution": context and context.execution,
            "state": context and context.state,
        }
        logs.event(logger, "task_started", **self._fields)

    def log_end(self, event: str, *, status: str, error: str = "", reason: str = "") -> None:
        """Log how the run has ended; count it in the metrics when it has an outcome."""
        duration_s = round(time.monotonic() - self._began, 6)
        logs.event(
            logger,
            event,
            **self._fields,
            status=status,
            error=error,
            reason=reason,
            duration_s=duration_s,
        )
        if status in ("succeeded", "failed"):
            metrics.of_job(
                self.bridge,
                activity=self._activity,
                worker=worker_id(),
                duration_s=duration_s,
                error=error,
            )

    def settle(self, outcome: Outcome) -> None:
        """Store the outcome; wait while the store is away."""
        answer = wait_past_soft_limit(lambda: self.bridge.jobs.settle(self.job, outcome))
        note_end(self.job)
        passing(KillPoint.AFTER_OUTCOME_BEFORE_ACK)
        if answer is not Settled.STORED:
            logger.info("outcome of job %s is dropped: its claim is %s", self.job.id, answer)

    def fail(self, outcome: Outcome) -> None:
        """Store a failure, and log it."""
        self.settle(outcome)
        self.log_end("task_failed", status="failed", error=outcome.error)

    def release(self, *, retry: int, delay_s: float = 0.0, published: bool = True) -> None:
        """Give back the right to run, for another delivery of the job; no outcome is stored.

        Args:
            retry: Celery's count of retries of the other delivery.
            delay_s: Seconds until it may start.
            published: Whether the broker has its message; else recovery publishes one.
        """
        wait_past_soft_limit(
            lambda: self.bridge.jobs.release(
                self.job, run=self.name, retry=retry, delay_s=delay_s, published=published
            )
        )
        note_end(self.job)

    def show_as_revoked(self) -> None:
        """Send ``task-revoked`` for a job that Celery ignores; else Flower shows it as started."""
        task = self.task
        if not task.app.conf.worker_send_task_events:
            return
        try:
            task.send_event(
                "task-revoked", retry=False, terminated=False, signum=None, expired=False
            )
        except Exception as exc:  # noqa: BLE001 (each broker has errors of its own)
            logger.info("the event of job %s is not sent to Flower: %s", task.request.id, exc)


def new_name() -> str:
    """A name of 12 characters for one delivery, unlike any other of its claim on any host.

    It is not drawn from the system's source of randomness: that call releases the GIL, and to get
    the GIL back among many threads took a tenth of a worker's CPU.
    """
    process = os.getpid() & 0xFFFFFF  # children of a pool have the _ORIGIN of their parent
    number = next(_numbers) & 0xFFFF
    return urlsafe_b64encode(
        _ORIGIN + process.to_bytes(3, "big") + number.to_bytes(2, "big")
    ).decode()
