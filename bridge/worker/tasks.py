"""Change the class of each Celery task that is an activity, so that its jobs run in ``run_job``.

The change concerns the bridge's jobs only. Every other call of the task passes through Celery's own
code and the author's, with the options that the author gave it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded
from celery import Celery, Task
from celery.local import Proxy

from bridge.app_state import installed
from bridge.model import Job, unpack
from bridge.statemachine import unwrap
from bridge.support.backoff import CELERY_RETRY_S
from bridge.support.publish_errors import is_final
from bridge.worker.current import Current, running_here
from bridge.worker.last_run import note_begin
from bridge.worker.task_runner import run_job

logger = logging.getLogger(__name__)

_IMPOSSIBLE_OPTIONS = (LookupError, TypeError, ValueError)
"""What Celery raises for impossible options."""


class _ActivityTask(Task):  # type: ignore[misc]
    """The class that is put in front of the class of every task that is an activity."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Call no ``__init_subclass__`` of the app: it has been called for the task's own class."""

    def start_strategy(self, app: Celery, consumer: Any, **options: Any) -> Callable[..., Any]:
        """Return what receives the task's messages; Celery calls this once for each worker."""
        start = super().start_strategy
        take_call = start(app, consumer, **options)
        take_job = start.__func__(_TaskOfJobs(lambda: self), app, consumer, **options)

        def take(message: Any, body: Any, *rest: Any, **more: Any) -> Any:
            # With Celery's first protocol, which has no headers, the id is in the body.
            fields = message.headers if body is None else body
            is_job = Job.parse(fields.get("id")) is not None
            return (take_job if is_job else take_call)(message, body, *rest, **more)

        return take

    def before_start(self, *args: Any, **kwargs: Any) -> None:
        """Note that a run begins; Celery calls this before each run."""
        note_begin()
        super().before_start(*args, **kwargs)

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """Publish a call of the task; ``Task.retry`` publishes the retry of a job with it, too."""
        job = running_here()
        if job is None or options.get("task_id") != job._job_id:
            return super().apply_async(*args, **options)
        return self._publish_retry(job, super().apply_async, *args, **options)

    def _publish_retry(
        self, job: Current, publish: Callable[..., Any], *args: Any, **options: Any
    ) -> Any:
        """Publish the retry of a job, or leave it to recovery while the broker is away.

        ``Task.retry`` would turn an exception from here into a Reject. Recovery knows only the
        input, so that a retry with other arguments waits here for the broker.
        """
        repeats = self._repeats_its_input(*args)
        while True:
            try:
                return publish(*args, **options)
            except SoftTimeLimitExceeded:
                pass  # it was raised in the wait for the broker; the hard limit still holds
            except Exception as exc:
                is_impossible = not repeats and isinstance(exc, _IMPOSSIBLE_OPTIONS)
                is_impossible = is_impossible or self._has_impossible_time(options)
                if is_impossible or is_final(exc, self, next(iter(self.request.args), None)):
                    raise
                logger.warning(
                    "the broker did not take the retry of job %s (%s: %s); the retry waits for it",
                    job._job_id,
                    type(exc).__name__,
                    exc,
                )
            if repeats:
                job._published = False
                return None
            time.sleep(CELERY_RETRY_S)

    def _has_impossible_time(self, options: Mapping[str, Any]) -> bool:
        """Whether an option names an impossible time, such as ``countdown=float("nan")``."""
        times = {name: options.get(name) for name in ("countdown", "eta", "expires")}
        try:
            self.app.amqp.create_task_message(options["task_id"], self.name, (), {}, **times)
        except (ArithmeticError, AttributeError, TypeError, ValueError):
            return True
        return False

    def _repeats_its_input(self, args: Any = None, kwargs: Any = None, *_: Any) -> bool:
        request = self.request
        return list(args or ()) == list(request.args) and (kwargs or {}) == request.kwargs


class _CalledActivityTask(_ActivityTask):
    """Put in front of a user's class that has a ``__call__``; that runs as part of the job."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _call(self, super().__call__, *args, **kwargs)


class _TaskOfJobs(Proxy):  # type: ignore[misc]
    """A proxy of an activity's task, from which Celery reads the options of its jobs.

    The fence makes late acks safe. The store decides what happens to a lost worker's claim: with
    Celery's own options a job would run again without limit, or three minutes late.
    """

    acks_late = True
    acks_on_failure = acks_on_timeout = acks_on_failure_or_timeout = True
    reject_on_worker_lost = retry_on_worker_lost = False


def _call(task: Task, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a job in ``run_job``; make any other call unchanged."""
    job = Job.parse(task.request.id)
    # A call of the task inside a job is also a plain call of the user's function.
    if job is None or task.request.called_directly or running_here():
        return call(*args, **kwargs)
    context = None
    if args:
        event, context = unwrap(unpack(args[0]))
        args = (event, *args[1:])
    return run_job(installed(task.app), task, job, context, lambda: call(*args, **kwargs))


def equip(app: Celery) -> None:
    """Change every task of the app that is an activity; harmless when repeated."""
    for activity in installed(app).registry.values():
        task = activity.task
        if isinstance(task, _ActivityTask):
            continue
        cls = type(task)
        # Celery calls `run` of a task whose class has no `__call__`. A `__call__` that is added to
        # such a class would change what happens when a task calls itself.
        has_call = cls.__call__ is not Task.__call__
        ours = _CalledActivityTask if has_call else _ActivityTask
        task.__class__ = type(cls.__name__, (ours, cls), {"__module__": cls.__module__})
        if not has_call:
            task.run = wraps(task.run)(partial(_call, task, task.run))
