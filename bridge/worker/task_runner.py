"""What happens around a user's task in the worker: fence, run, outcome; stored before the ack.

Celery has no single hook that sees every ending of a task (docs/endings.md). Two together do:

- ``run_job`` around the user's function, in the process that runs it: success, exceptions, retry,
  Ignore, Reject, ``sys.exit()``; ``bridge.worker.tasks`` puts it there;
- Celery's signals, mostly in the worker's parent process, for what happens while no user code runs
  (``celery_signals``): hard time limit, killed child, revoked, expired, unregistered task.

Both only write to the store, where the first outcome wins; so that both may see one ending.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from celery import Task
from celery.exceptions import (
    Ignore,
    Reject,
    Retry,
    SoftTimeLimitExceeded,
    WorkerShutdown,
    WorkerTerminate,
)
from celery.utils.time import maybe_make_aware

from bridge import logs, metrics
from bridge.app_state import Installation, worker_id
from bridge.errors import BridgeError, ErrorName, SchemaMismatch, StoreUnavailable
from bridge.model import Job, Outcome
from bridge.registry import ACTIVITY_HEADER
from bridge.statemachine import Context
from bridge.store import Settled, Start
from bridge.support.backoff import OUTCOME_RETRY_S
from bridge.support.killpoints import KillPoint, passing
from bridge.worker.current import Current, JobCancelled, as_current
from bridge.worker.outcome import failure_of, is_of_green_pool, output_of, words_of
from bridge.worker.pools import in_pool_process

logger = logging.getLogger(__name__)

T = TypeVar("T")

_FROM_SIGNAL = frozenset(-(256 - number) for number in signal.valid_signals())

_ORIGIN = os.urandom(4)
_numbers = itertools.count()

LEASE_WAIT_S = 0.1


class EndedItself(BridgeError):
    """Instead of what would end more than its task; the outcome is stored already."""


_last = threading.local()


def begin() -> None:
    """A run begins in this thread; nothing has ended here yet."""
    _last.ended = None


def ended_here(job: Job) -> bool:
    """Whether the run of this job that this thread began last has ended for the store."""
    return getattr(_last, "ended", None) == job


def note_end(job: Job) -> None:
    """Let what Celery says of this run from now on count for nothing."""
    _last.ended = job


def run_job(
    bridge: Installation, task: Task, job: Job, context: Context | None, call: Callable[[], Any]
) -> Any:
    """Run a job: ask for its claim, call the task, store what came of it."""
    run = _new_run()
    retry = task.request.retries or 0
    _start(bridge, task, job, retry=retry, run=run)
    passing(KillPoint.AFTER_START_BEFORE_RUN)
    log = _log_of(bridge, task, job, context)
    log("task_started")

    def fail(outcome: Outcome) -> None:
        _settle(bridge, job, outcome)
        log("task_failed", status="failed", error=outcome.error)

    here = Current(job, run=run, bridge=bridge, context=context)
    with as_current(here):
        try:
            result = call()
            outcome = Outcome(output=output_of(result))
        except Retry as exc:
            _release(
                bridge,
                job,
                run=run,
                retry=retry + 1,
                delay_s=_delay_s(exc),
                published=here._published,
            )
            log("task_retried", status="retried")
            raise
        except Reject as exc:
            if exc.requeue:
                _release(bridge, job, run=run, retry=retry, delay_s=0)
                log("task_requeued", status="requeued")
            else:
                fail(Outcome.failure(ErrorName.REJECTED, words_of(exc.reason)))
            raise
        except JobCancelled as exc:
            logger.warning("job %s is cancelled: %s", job.id, exc)
            # Dropped, unless the task raised it without a reason: then somebody still waits.
            _settle(bridge, job, Outcome.failure(ErrorName.CANCELLED, str(exc)))
            log("task_cancelled", status="cancelled", reason=str(exc))
            _show_as_revoked(task)
            raise
        except Ignore:
            cause = "the task raised Ignore (self.replace does so too): nobody will bring an output"
            fail(Outcome.failure(ErrorName.IGNORED, cause))
            raise
        except (WorkerShutdown, WorkerTerminate):
            raise  # the worker ends under the job: its lease decides, not the job
        except SystemExit as exc:
            if _is_from_signal(exc):
                raise
            fail(failure_of(exc))
            if in_pool_process():
                raise
            # In a thread of the worker it would break Celery's callback: never acked, slot lost.
            raise EndedItself(f"the task called sys.exit({exc.code!r})") from exc
        except MemoryError as exc:
            fail(failure_of(exc))
            # Celery takes it for its own, and ends the worker with all that it runs.
            raise EndedItself("the task ran out of memory") from exc
        except BaseException as exc:  # KeyboardInterrupt, for one, is an ending like any other
            if not is_of_green_pool(exc, limit_s=_hard_limit_s(task)):
                fail(failure_of(exc))
            raise
    passing(KillPoint.AFTER_RUN_BEFORE_OUTCOME)
    _settle(bridge, job, outcome)
    log("task_completed", status="succeeded")
    return result


def _new_run() -> str:
    """Names one delivery, unlike any other of its claim on any host: 12 characters.

    Not drawn from the system: its call lets the GIL go, and among many threads to get that back was
    a tenth of a worker's CPU.
    """
    process = os.getpid() & 0xFFFFFF  # children have the origin of their parent
    number = next(_numbers) & 0xFFFF
    return urlsafe_b64encode(
        _ORIGIN + process.to_bytes(3, "big") + number.to_bytes(2, "big")
    ).decode()


def _log_of(
    bridge: Installation, task: Task, job: Job, context: Context | None
) -> Callable[..., None]:
    """Logs an event of this run, with how long it has lasted; its end is a metric too."""
    began = time.monotonic()
    found = bridge.registry.of_job(task.request.get(ACTIVITY_HEADER), task)
    activity = found.name if found else task.name
    fields: dict[str, Any] = {
        "activity": activity,
        "claim_id": job.claim_id,
        "attempt": job.attempt,
        "worker": worker_id(),
        "execution": context and context.execution,
        "state": context and context.state,
    }

    def log(name: str, *, status: str = "", error: str = "", reason: str = "") -> None:
        lasted_s = round(time.monotonic() - began, 6)
        duration_s = None if name == "task_started" else lasted_s
        logs.event(
            logger, name, **fields, status=status, error=error, reason=reason, duration_s=duration_s
        )
        if status in ("succeeded", "failed"):
            metrics.of_job(
                bridge, activity=activity, worker=worker_id(), duration_s=lasted_s, error=error
            )

    return log


def _start(bridge: Installation, task: Task, job: Job, *, retry: int, run: str) -> None:
    """Return when the job may run; raise Ignore, which acks its message, when it must not.

    Raise Reject, too: a worker that has no lease for as long as one lasts may never get one. It may
    serve ordinary queues beside a store of another schema, and was told to consume this one.
    """
    worker, unleased_since = worker_id(), 0.0
    while True:
        try:
            answer = insist(lambda: bridge.jobs.start(job, retry=retry, worker=worker, run=run))
        except SoftTimeLimitExceeded:
            # It has waited for the store only. Its limit is used up: let another delivery run.
            _release(bridge, job, run=run, retry=retry, delay_s=0, published=False)
            raise Ignore(f"job {job.id} comes again: the store was away at its start") from None
        if answer is Start.RUN:
            return
        if answer is not Start.UNLEASED:
            logger.info("job %s does not run: its claim is %s", job.id, answer)
            _show_as_revoked(task)
            raise Ignore(f"claim {job.claim_id} is {answer}")
        unleased_since = unleased_since or time.monotonic()
        if time.monotonic() - unleased_since > bridge.settings.lease_s:
            note_end(job)
            text = "job %s goes back to its queue: worker %s had no lease for %g s, as its log says"
            logger.warning(text, job.id, worker, bridge.settings.lease_s)
            raise Reject(f"worker {worker} has no lease", requeue=True)
        time.sleep(LEASE_WAIT_S)  # the parent announces the worker within moments


def _show_as_revoked(task: Task) -> None:
    """Let Flower show as revoked what Celery ignores; else it shows it as started for ever."""
    if not task.app.conf.worker_send_task_events:
        return
    try:
        task.send_event("task-revoked", retry=False, terminated=False, signum=None, expired=False)
    except Exception as exc:  # noqa: BLE001 (each broker has errors of its own)
        logger.info("Flower does not hear of job %s: %s", task.request.id, exc)


def _is_from_signal(exc: SystemExit) -> bool:
    """Whether a signal ended this child: its parent knows why, and says so.

    billiard 4.3 says ``sys.exit(-(256 - signal number))`` then.
    """
    return in_pool_process() and isinstance(exc.code, int) and exc.code in _FROM_SIGNAL


def _hard_limit_s(task: Task) -> float | None:
    limit_s, _ = task.request.timelimit or (None, None)
    return limit_s or task.time_limit  # type: ignore[no-any-return]


def _delay_s(retry: Retry) -> float:
    """Seconds until a retried job may start."""
    if retry.when is None:
        return 0.0
    if isinstance(retry.when, datetime):
        when: datetime = maybe_make_aware(retry.when)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    return float(retry.when)


def _settle(bridge: Installation, job: Job, outcome: Outcome) -> None:
    answer = _insist_past_soft_limit(lambda: bridge.jobs.settle(job, outcome))
    note_end(job)
    passing(KillPoint.AFTER_OUTCOME_BEFORE_ACK)
    if answer is not Settled.STORED:
        logger.info("outcome of job %s is dropped: its claim is %s", job.id, answer)


def _release(
    bridge: Installation, job: Job, *, run: str, retry: int, delay_s: float, published: bool = True
) -> None:
    _insist_past_soft_limit(
        lambda: bridge.jobs.release(job, run=run, retry=retry, delay_s=delay_s, published=published)
    )
    note_end(job)


def _insist_past_soft_limit(call: Callable[[], T]) -> T:
    """``insist``, once the user's code has ended: its soft time limit has no say in the outcome.

    Celery raises it once. It comes here while the store is away; the hard limit still holds.
    """
    try:
        return insist(call)
    except SoftTimeLimitExceeded:
        return insist(call)


def insist(call: Callable[[], T]) -> T:
    """The answer of the store, however long it is away: acking without it would lose the job."""
    said = False
    while True:
        try:
            return call()
        except (SchemaMismatch, StoreUnavailable) as exc:
            if not said:
                logger.warning("%s This job waits for it.", exc)
            said = True
            time.sleep(OUTCOME_RETRY_S)
