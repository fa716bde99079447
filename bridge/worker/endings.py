"""What becomes of a job that ends with an exception, as a table of one row for each ending.

``docs/endings.md`` says the same to users, and a test compares the two. The first row that matches
an exception counts. For some rows nothing is stored here: Celery's parent process
(``celery_signals``) or recovery knows the reason, and stores it.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from celery.exceptions import Ignore, Reject, Retry, WorkerShutdown, WorkerTerminate
from celery.utils.time import maybe_make_aware

from bridge.errors import BridgeError, ErrorName
from bridge.model import Outcome
from bridge.worker.current import JobCancelled
from bridge.worker.outcome import failure_of, text_of
from bridge.worker.pools import in_pool_process
from bridge.worker.run import Run

logger = logging.getLogger(__name__)

_SIGNAL_CODES = frozenset(-(256 - number) for number in signal.valid_signals())
"""What billiard calls ``sys.exit`` with in a child that a signal ends."""


class EndedItself(BridgeError):
    """Raised to Celery in place of an exception that would end more than its task.

    The job's outcome is stored already.
    """


class Ending(NamedTuple):
    """One row: an exception, and what is done about it.

    Attributes:
        raised: The class of the exception, or several.
        row: The ending's name in the first column of ``docs/endings.md``.
        outcome: The outcome in the second column: an error name, or how the text begins.
        end: Writes to the store what follows.
        when: Further condition.
        instead: What Celery gets in place of the exception, as text of an ``EndedItself``.
    """

    raised: type[BaseException] | tuple[type[BaseException], ...]
    row: str
    outcome: str
    end: Callable[[Run, Any], None]
    when: Callable[[Run, Any], bool] | None = None
    instead: Callable[[Any], str] | None = None


def end(run: Run, exc: BaseException) -> EndedItself | None:
    """Do what the table says; return what to raise in place of the exception, if anything."""
    ending = ending_of(run, exc)
    ending.end(run, exc)
    return EndedItself(ending.instead(exc)) if ending.instead else None


def ending_of(run: Run, exc: BaseException) -> Ending:
    """The row for this exception."""
    for ending in ENDINGS:
        if isinstance(exc, ending.raised) and (ending.when is None or ending.when(run, exc)):
            return ending
    raise AssertionError("the last row matches every exception")


def _retry(run: Run, exc: Retry) -> None:
    run.release(retry=run.retry + 1, delay_s=_delay_s(exc), published=run.current._published)
    run.log_end("task_retried", status="retried")


def _requeue(run: Run, exc: Reject) -> None:
    run.release(retry=run.retry)
    run.log_end("task_requeued", status="requeued")


def _reject(run: Run, exc: Reject) -> None:
    run.fail(Outcome.failure(ErrorName.REJECTED, text_of(exc.reason)))


def _cancel(run: Run, exc: JobCancelled) -> None:
    logger.warning("job %s is cancelled: %s", run.job.id, exc)
    # The store drops it, unless the task raised JobCancelled of its own accord: then Step Functions
    # still waits for an outcome.
    run.settle(Outcome.failure(ErrorName.CANCELLED, str(exc)))
    run.log_end("task_cancelled", status="cancelled", reason=str(exc))
    run.show_as_revoked()


def _ignore(run: Run, exc: Ignore) -> None:
    cause = "the task raised Ignore (self.replace does so too): it will never have an output"
    run.fail(Outcome.failure(ErrorName.IGNORED, cause))


def _fail(run: Run, exc: BaseException) -> None:
    run.fail(failure_of(exc))


def _leave_to_others(run: Run, exc: BaseException) -> None:
    """Store nothing: the parent process or recovery stores the outcome."""


def _wants_requeue(run: Run, exc: Reject) -> bool:
    return bool(exc.requeue)


def _is_from_signal(run: Run, exc: SystemExit) -> bool:
    """Whether a signal ended this child of a pool, and not the task."""
    return in_pool_process() and isinstance(exc.code, int) and exc.code in _SIGNAL_CODES


def _is_in_pool_process(run: Run, exc: SystemExit) -> bool:
    return in_pool_process()


def _is_of_green_pool(run: Run, exc: BaseException) -> bool:
    """Whether a pool of greenlets ended the job: Celery's parent then stores the reason.

    gevent and eventlet raise ``GreenletExit`` in a job that is terminated, and gevent its own
    ``Timeout`` at a hard time limit. A ``Timeout`` of another duration is the task's own.
    """
    greenlet, gevent = sys.modules.get("greenlet"), sys.modules.get("gevent")
    if greenlet and isinstance(exc, greenlet.GreenletExit):
        return True
    if not gevent or not isinstance(exc, gevent.Timeout):
        return False
    limit_s, _ = run.task.request.timelimit or (None, None)
    limit_s = limit_s or run.task.time_limit
    return bool(limit_s) and exc.seconds == limit_s


def _delay_s(retry: Retry) -> float:
    """Seconds until a retried job may start."""
    if retry.when is None:
        return 0.0
    if isinstance(retry.when, datetime):
        when: datetime = maybe_make_aware(retry.when)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    return float(retry.when)


_CLASS_NAME = "failure; the error is the exception's class name"

ENDINGS = (
    Ending(
        raised=Retry,
        row="`self.retry`, `autoretry_for`",
        outcome="none yet",
        end=_retry,
    ),
    Ending(
        raised=Reject,
        when=_wants_requeue,
        row="`Reject(requeue=True)`",
        outcome="none yet",
        end=_requeue,
    ),
    Ending(
        raised=Reject,
        row="`Reject(requeue=False)`",
        outcome=ErrorName.REJECTED,
        end=_reject,
    ),
    Ending(
        raised=JobCancelled,
        row="`bridge.current().checkpoint()` in a cancelled job",
        outcome=ErrorName.CANCELLED,
        end=_cancel,
    ),
    Ending(
        raised=Ignore,
        row="`Ignore`, `self.replace`",
        outcome=ErrorName.IGNORED,
        end=_ignore,
    ),
    Ending(  # the worker ends while the job runs: recovery finds it when the lease has ended
        raised=(WorkerShutdown, WorkerTerminate),
        row="the process or the worker dies",
        outcome=ErrorName.WORKER_LOST,
        end=_leave_to_others,
    ),
    Ending(
        raised=SystemExit,
        when=_is_from_signal,
        row="a person revokes or terminates the job",
        outcome=ErrorName.JOB_REVOKED,
        end=_leave_to_others,
    ),
    Ending(
        raised=SystemExit,
        when=_is_in_pool_process,
        row="`sys.exit()`",
        outcome="`SystemExit`",
        end=_fail,
    ),
    Ending(  # in a thread of the worker it would break Celery's callback: no ack, and a lost slot
        raised=SystemExit,
        row="`sys.exit()`",
        outcome="`SystemExit`",
        end=_fail,
        instead=lambda exc: f"the task called sys.exit({exc.code!r})",
    ),
    Ending(  # Celery would take it for its own error, and end the worker with all that it runs
        raised=MemoryError,
        row="the task raises an exception",
        outcome=_CLASS_NAME,
        end=_fail,
        instead=lambda exc: "the task ran out of memory",
    ),
    Ending(
        raised=BaseException,
        when=_is_of_green_pool,
        row="hard time limit",
        outcome=ErrorName.TIME_LIMIT_EXCEEDED,
        end=_leave_to_others,
    ),
    Ending(  # KeyboardInterrupt too: it ends the task like any other exception
        raised=BaseException,
        row="the task raises an exception",
        outcome=_CLASS_NAME,
        end=_fail,
    ),
)
