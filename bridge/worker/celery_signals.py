"""Store the endings of jobs that the task runner does not see, from Celery's signals.

The signals fire in the worker's parent process. ``task_failure`` also fires in a child, for what
the runner has stored there; the store drops a second outcome. A handler must not block the worker's
event loop: a thread writes, and tries again while the store is away. A child waits for the store
itself, because it acknowledges the message next.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Queue
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Celery, Task, signals
from celery.exceptions import InvalidTaskError
from celery.worker import state
from kombu.exceptions import ContentDisallowed, SerializationError

from bridge.app_state import Installation, worker_id
from bridge.errors import ErrorName
from bridge.model import Job, Outcome
from bridge.store import Delivery, JobStore
from bridge.worker.last_run import has_ended, note_end
from bridge.worker.outcome import failure_of
from bridge.worker.pools import in_pool_process
from bridge.worker.store_wait import wait_for_store

logger = logging.getLogger(__name__)

WAIT_S = 0.5
"""The most time that the worker's event loop waits for the store; in an outage it waits once."""

_UNREADABLE = (ContentDisallowed, InvalidTaskError, SerializationError)
"""Raised before the task is called: this worker can read no delivery of the job."""


def connect() -> None:
    """Connect the handlers to Celery's signals; harmless when repeated."""
    signals.task_failure.connect(_on_failure, dispatch_uid=__name__)
    signals.task_internal_error.connect(_on_internal_error, dispatch_uid=__name__)
    signals.task_revoked.connect(_on_revoked, dispatch_uid=__name__)
    signals.task_unknown.connect(_on_unknown, dispatch_uid=__name__)
    signals.task_rejected.connect(_on_rejected, dispatch_uid=__name__)


def _on_failure(sender: Task, task_id: str, exception: BaseException, **_: Any) -> None:
    job = _job_of(sender, task_id)
    if job is None or has_ended(job):
        return
    of = Delivery.ANY
    if isinstance(exception, TimeLimitExceeded):
        of = Delivery.RUNNING
        outcome = Outcome.failure(
            ErrorName.TIME_LIMIT_EXCEEDED,
            f"the job ran longer than its hard time limit ({exception})",
        )
    elif isinstance(exception, WorkerLostError):
        outcome = Outcome.failure(
            ErrorName.WORKER_LOST, f"the process that ran the job died: {exception}"
        )
        _write(
            sender.app,
            job,
            lambda jobs: jobs.recover(job, worker=worker_id(), outcome=outcome, job_is_gone=True),
        )
        return
    else:
        outcome = failure_of(exception)
        if _is_parent(sender.app) and not isinstance(exception, _UNREADABLE):
            # The child has stored the job's own failure already. This exception is from what Celery
            # did around the task, such as storing its state in a result backend that is away.
            of = Delivery.RUNNING
    _settle(sender.app, job, outcome, of=of)


def _on_internal_error(sender: Task, task_id: str, exception: BaseException, **_: Any) -> None:
    """Celery failed outside the task's code; the ``task_failure`` that follows is ignored."""
    job = _job_of(sender, task_id)
    if job is None or has_ended(job):
        return
    note_end(job)
    logger.warning(
        "job %s did not begin, because Celery failed before it (%s: %s); it is published again",
        job.id,
        type(exception).__name__,
        exception,
    )
    request = None if in_pool_process() else state.requests.get(job.id)
    if request is not None:
        # In a pool of threads Celery would keep it for ever after a failure of the result backend.
        request.acknowledge()
        state.task_ready(request)


def _on_revoked(sender: Task, request: Any, terminated: bool, expired: bool, **_: Any) -> None:
    job = _job_of(sender, request.id)
    if job is None:
        return
    if expired:
        outcome = Outcome.failure(ErrorName.JOB_EXPIRED, "the job waited longer than its `expires`")
    else:
        how = "terminated" if terminated else "before it ran"
        outcome = Outcome.failure(ErrorName.JOB_REVOKED, f"the job was revoked in Celery, {how}")
    _settle(sender.app, job, outcome, of=Delivery.ANY if terminated else Delivery.UNBEGUN)


def _on_unknown(sender: Any, name: Any, id: Any, **_: Any) -> None:  # noqa: A002 (Celery's name)
    job = Job.parse(id)
    if job is None:
        return
    cause = (
        f"worker {sender.hostname} has no task {name!r}: it runs other code than the poller. "
        "Deploy the same tasks to both, or route the task to a queue of workers that have it."
    )
    outcome = Outcome.failure(ErrorName.TASK_NOT_REGISTERED, cause)
    _settle(sender.app, job, outcome, of=Delivery.UNBEGUN)


def _on_rejected(sender: Any, message: Any, exc: BaseException | None, **_: Any) -> None:
    bridge = _bridge_of(sender.app)
    if bridge is None:
        return
    job = Job.of_headers(message.headers, bridge.registry.task_names)
    if job is not None:
        cause = f"worker {sender.hostname} cannot read the job's message: {exc}"
        outcome = Outcome.failure(ErrorName.MESSAGE_REFUSED, cause)
        _settle(sender.app, job, outcome, of=Delivery.UNBEGUN)


def _bridge_of(app: Celery) -> Installation | None:
    """The bridge of an app; None for another Celery app in this process."""
    bridge = getattr(app, "bridge", None)
    return bridge if isinstance(bridge, Installation) else None


def _job_of(task: Task, task_id: object) -> Job | None:
    """The job that has ended; None for another task, even if its id looks like a job's."""
    # Almost no id of another task has this form; the task's name decides the rest.
    job = Job.parse(task_id)
    if job is None:
        return None
    bridge = _bridge_of(task.app)
    return job if bridge is not None and task.name in bridge.registry.task_names else None


def _is_parent(app: Celery) -> bool:
    """Whether jobs run in children of this process."""
    bridge = _bridge_of(app)
    if bridge is None or bridge.pool is None:
        return False
    return bridge.pool.forks and not in_pool_process()


def _settle(app: Celery, job: Job, outcome: Outcome, *, of: Delivery = Delivery.ANY) -> None:
    _write(app, job, lambda jobs: jobs.settle(job, outcome, of=of))


def _write(app: Celery, job: Job, write: Callable[[JobStore], str]) -> None:
    bridge = _bridge_of(app)
    if bridge is None:
        return

    def write_when_possible() -> None:
        answer = wait_for_store(lambda: write(bridge.jobs))
        logger.info("job %s ended without an outcome of its own: %s", job.id, answer)

    if in_pool_process():  # Celery may end the child before a thread has written
        write_when_possible()
        return
    _writer.write(write_when_possible)


class _Writer:
    """A thread of this process that stores endings, one after the other.

    A caller waits a moment for the thread, so that an ending is stored before its job's message is
    acknowledged. Callers do not wait while the store is away: endings may come by the hundred.
    """

    def __init__(self) -> None:
        self._calls: Queue[tuple[Callable[[], None], threading.Event]] = Queue()
        self._lock = threading.Lock()
        self._begun = self._behind = False

    def write(self, call: Callable[[], None]) -> None:
        """Have the thread make this call."""
        with self._lock:
            if not self._begun:
                self._begun = True
                threading.Thread(target=self._run, name="bridge-endings", daemon=True).start()
        written = threading.Event()
        self._calls.put((call, written))
        if not self._behind:
            self._behind = not written.wait(WAIT_S)

    def _run(self) -> None:
        while True:
            call, written = self._calls.get()
            try:
                call()
            except Exception:
                logger.exception("an ending is not stored; recovery will find its claim")
            self._behind = False
            written.set()


_writer = _Writer()
