"""Endings of a job that no user code sees, taken from Celery's signals.

They fire in the worker's parent process, but for ``task_failure``, which a child sends too for what
the runner saw already; the store drops a second outcome. A handler must not hold up the worker's
event loop: while the store is away, a thread goes on trying. In a child it insists itself, for the
message is acknowledged next.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Celery, Task, signals

from bridge.errors import StoreUnavailable
from bridge.installation import Installation, worker_id
from bridge.model import Job, Outcome
from bridge.outcomes import failure_of
from bridge.runner import in_pool_process, insist, was_settled_here
from bridge.store import JobStore

logger = logging.getLogger(__name__)


def connect() -> None:
    """Listen to Celery's signals; harmless when repeated."""
    signals.task_failure.connect(_on_failure, dispatch_uid="bridge.endings")
    signals.task_revoked.connect(_on_revoked, dispatch_uid="bridge.endings")
    signals.task_unknown.connect(_on_unknown, dispatch_uid="bridge.endings")
    signals.task_rejected.connect(_on_rejected, dispatch_uid="bridge.endings")


def _on_failure(sender: Task, task_id: str, exception: BaseException, **_: Any) -> None:
    job = Job.parse(task_id)
    if job is None or was_settled_here(job):
        return
    if isinstance(exception, TimeLimitExceeded):
        outcome = Outcome.failure(
            "Bridge.TimeLimitExceeded", f"the job ran longer than its hard time limit ({exception})"
        )
    elif isinstance(exception, WorkerLostError):
        outcome = Outcome.failure(
            "Bridge.WorkerLost", f"the process that ran the job died: {exception}"
        )
        _write(
            sender.app, job, lambda jobs: jobs.lose(
                job, worker=worker_id(), outcome=outcome, job_is_gone=True)
        )  # fmt: skip
        return
    else:
        outcome = failure_of(exception)
    _settle(sender.app, job, outcome)


def _on_revoked(sender: Task, request: Any, terminated: bool, expired: bool, **_: Any) -> None:
    job = Job.parse(request.id)
    if job is None:
        return
    if expired:
        outcome = Outcome.failure("Bridge.JobExpired", "the job waited longer than its `expires`")
    else:
        how = "terminated" if terminated else "before it ran"
        outcome = Outcome.failure("Bridge.JobRevoked", f"the job was revoked in Celery, {how}")
    _settle(sender.app, job, outcome, never_began=not terminated)


def _on_unknown(sender: Any, name: str, id: str, **_: Any) -> None:  # noqa: A002 (Celery's name)
    job = Job.parse(id)
    if job is None:
        return
    cause = (
        f"worker {sender.hostname} knows no task {name!r}: it runs other code than the poller. "
        "Deploy the same tasks to both, or route the task to a queue of workers that have it."
    )
    outcome = Outcome.failure("Bridge.TaskNotRegistered", cause)
    _settle(sender.app, job, outcome, never_began=True)


def _on_rejected(sender: Any, message: Any, exc: BaseException | None, **_: Any) -> None:
    job = Job.parse((message.headers or {}).get("id"))
    if job is not None:
        cause = f"worker {sender.hostname} cannot read the job's message: {exc}"
        outcome = Outcome.failure("Bridge.MessageRefused", cause)
        _settle(sender.app, job, outcome, never_began=True)


def _settle(app: Celery, job: Job, outcome: Outcome, *, never_began: bool = False) -> None:
    _write(app, job, lambda jobs: jobs.settle(job, outcome, never_began=never_began))


def _write(app: Celery, job: Job, write: Callable[[JobStore], str]) -> None:
    bridge = getattr(app, "bridge", None)
    if not isinstance(bridge, Installation):
        return  # another Celery app in this process; the job is not of ours
    try:
        answer = write(bridge.jobs)
    except StoreUnavailable as exc:
        logger.warning("%s The ending of job %s waits for it.", exc, job.id)
        call = partial(insist, lambda: write(bridge.jobs))
        if in_pool_process():  # which Celery may end before a thread is through
            call()
        else:
            threading.Thread(target=call, daemon=True).start()
    else:
        logger.info("job %s ended without an outcome of its own: %s", job.id, answer)
