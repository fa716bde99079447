"""Run a job: ask the store for its claim, call the user's task, store the outcome before the ack.

Celery has no single hook that sees every ending of a task (docs/endings.md). Two together do:

- ``run_job`` around the user's function, in the process that runs it: success, exceptions, retry,
  Ignore, Reject, ``sys.exit()``; ``bridge.worker.tasks`` puts it there;
- Celery's signals, mostly in the worker's parent process, for what happens while no user code runs
  (``celery_signals``): hard time limit, killed child, revoked, expired, unregistered task.

Both only write to the store, where the first outcome wins; so both may see the same ending.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from celery import Task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from bridge.app_state import Installation, worker_id
from bridge.model import Job, Outcome
from bridge.statemachine import Context
from bridge.store import Start
from bridge.support.killpoints import KillPoint, passing
from bridge.worker import endings
from bridge.worker.current import as_current
from bridge.worker.last_run import note_end
from bridge.worker.outcome import output_of
from bridge.worker.run import Run
from bridge.worker.store_wait import wait_for_store

logger = logging.getLogger(__name__)

LEASE_WAIT_S = 0.1
"""How long a job waits before it asks again whether its worker has a lease."""


def run_job(
    bridge: Installation, task: Task, job: Job, context: Context | None, call: Callable[[], Any]
) -> Any:
    """Run a job, and return what the user's task returns.

    Args:
        context: The execution and the state, where the state passes them.
        call: Calls the user's task.

    Raises:
        Ignore, Reject: The job must not run here; nothing was called.
        BaseException: What the task raised, after its outcome is stored; see ``endings``.
    """
    run = Run(bridge, task, job, context=context)
    _start(run)
    passing(KillPoint.AFTER_START_BEFORE_RUN)
    run.log_start()
    with as_current(run.current):
        try:
            result = call()
            outcome = Outcome(output=output_of(result))
        except BaseException as exc:
            instead = endings.end(run, exc)
            if instead is not None:
                raise instead from exc
            raise
    passing(KillPoint.AFTER_RUN_BEFORE_OUTCOME)
    run.settle(outcome)
    run.log_end("task_completed", status="succeeded")
    return result


def _start(run: Run) -> None:
    """Return when the job may run.

    Raises:
        Ignore: It may not: its claim is closed, or another delivery runs. Celery acknowledges the
            message.
        Reject: The worker has had no lease for as long as one lasts, and may never get one: it may
            have started for ordinary queues only, because the store has another schema, and was
            later told to consume this queue, too. Celery gives the message back.
    """
    job, bridge, worker, unleased_since = run.job, run.bridge, worker_id(), 0.0
    while True:
        try:
            answer = wait_for_store(
                lambda: bridge.jobs.start(job, retry=run.retry, worker=worker, run=run.name)
            )
        except SoftTimeLimitExceeded:
            # The job has only waited for the store, and its time limit is used up: another delivery
            # may run with a new limit.
            run.release(retry=run.retry, published=False)
            raise Ignore(
                f"job {job.id} is delivered again: the store was away at its start"
            ) from None
        if answer is Start.RUN:
            return
        if answer is not Start.UNLEASED:
            logger.info("job %s does not run: its claim is %s", job.id, answer)
            run.show_as_revoked()
            raise Ignore(f"claim {job.claim_id} is {answer}")
        unleased_since = unleased_since or time.monotonic()
        lease_s = bridge.settings.lease_s
        if time.monotonic() - unleased_since > lease_s:
            note_end(job)
            text = "job %s goes back to its queue: worker %s had no lease for %g s, as its log says"
            logger.warning(text, job.id, worker, lease_s)
            raise Reject(f"worker {worker} has no lease", requeue=True)
        time.sleep(LEASE_WAIT_S)  # the parent announces the worker within moments
