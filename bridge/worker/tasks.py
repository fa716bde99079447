"""What the bridge adds to a Celery task that is an activity.

It concerns the bridge's jobs only. Every other call of the task passes through Celery's own code
and the author's, with the settings that the author gave it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded
from celery import Celery, Task, bootsteps
from kombu.exceptions import SerializationError

from bridge.context import Current, running_here
from bridge.errors import SettingsError
from bridge.installation import installed, pool_of
from bridge.model import Job, unpack
from bridge.runner import begin, run_job
from bridge.statemachine import unwrap

logger = logging.getLogger(__name__)

PUBLISH_RETRY_S = 1.0

_NEVER_PUBLISHED = (AttributeError, LookupError, SerializationError, TypeError, ValueError)
"""A message that cannot be encoded or routed; all else is the broker's."""


class _ActivityTask(Task):  # type: ignore[misc]
    """Put in front of the class of every task that is an activity."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = super().__call__
        job = Job.parse(self.request.id)
        # Without a job of ours, or inside one already, it is the plain task that the user wrote.
        if job is None or self.request.called_directly or running_here():
            return call(*args, **kwargs)
        context = None
        if args:
            event, context = unwrap(unpack(args[0]))
            args = (event, *args[1:])
        bridge = installed(self.app)
        return run_job(bridge, self, job, context, lambda: call(*args, **kwargs))

    def before_start(self, *args: Any, **kwargs: Any) -> None:
        """Called by Celery before each run."""
        begin()
        super().before_start(*args, **kwargs)

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """Publish a call of the task; ``Task.retry`` publishes the retry of a job by it, too."""
        job = running_here()
        if job is None or options.get("task_id") != job._job_id:
            return super().apply_async(*args, **options)
        return self._publish_retry(job, super().apply_async, *args, **options)

    def _publish_retry(
        self, job: Current, publish: Callable[..., Any], *args: Any, **options: Any
    ) -> Any:
        """Publish, or leave it to recovery: ``Task.retry`` makes a Reject of what is raised here.

        Recovery knows the input only. A retry with other arguments waits for the broker here.
        """
        while True:
            try:
                return publish(*args, **options)
            except SoftTimeLimitExceeded:
                pass  # while it waits for the broker; the hard limit still holds
            except _NEVER_PUBLISHED:
                raise
            except Exception as exc:  # noqa: BLE001 (each broker has errors of its own)
                logger.warning(
                    "the broker did not take the retry of job %s (%s: %s); it waits for it",
                    job._job_id, type(exc).__name__, exc)  # fmt: skip
            if self._repeats_its_input(*args):
                job._published = False
                return None
            time.sleep(PUBLISH_RETRY_S)

    def _repeats_its_input(self, args: Any = None, kwargs: Any = None, *_: Any) -> bool:
        request = self.request
        return list(args or ()) == list(request.args) and (kwargs or {}) == request.kwargs


def equip(app: Celery) -> None:
    """Put the runner around every task that is an activity; harmless when repeated."""
    for activity in installed(app).registry.values():
        task = activity.task
        if not isinstance(task, _ActivityTask):
            cls = type(task)
            task.__class__ = type(
                cls.__name__, (_ActivityTask, cls), {"__module__": cls.__module__}
            )
        # The fence makes late acks safe; what becomes of a lost worker's claim is the store's to
        # say, and Celery's own answers would run it again without limit, or three minutes late.
        task.acks_late = True
        task.reject_on_worker_lost = False
        task.retry_on_worker_lost = False


class Runner(bootsteps.Step):  # type: ignore[misc]
    """Worker bootstep: equips the tasks before the pool forks."""

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        if worker.pool_start_method == "spawn" and installed(worker.app).registry:
            raise SettingsError(
                "worker_pool_start_method is 'spawn': Celery gives spawned children a copy of the "
                "app without the bridge, so that no outcome would be stored. Use 'fork', or "
                "--pool threads."
            )
        equip(worker.app)
        installed(worker.app).pool = pool_of(worker)
