"""The two worker bootsteps that make a Celery worker an activity worker.

Celery makes both while it builds the worker, before the pool forks. If something is wrong, the
worker ends there, with an error that says in one sentence what it is.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import bootsteps

from bridge.app_state import Installation, installed
from bridge.errors import SchemaMismatch, SettingsError, StoreUnavailable
from bridge.registry import SYSTEM_QUEUE
from bridge.store import check_schema
from bridge.versions import log_off
from bridge.worker.lease import Lease
from bridge.worker.pools import pool_of
from bridge.worker.queues import choose_queues
from bridge.worker.tasks import equip

logger = logging.getLogger(__name__)


class EquipTasks(bootsteps.Step):  # type: ignore[misc]
    """Worker bootstep: changes the class of each task that is an activity.

    It does so before the pool forks, so that children inherit the changed tasks.
    """

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        # Celery 5.5 and 5.6 have no such setting: they fork.
        method = getattr(worker, "pool_start_method", "fork")
        if method == "spawn" and installed(worker.app).registry:
            raise SettingsError(
                "worker_pool_start_method is 'spawn': Celery gives spawned children a copy of the "
                "app without the bridge, so that no outcome would be stored. Use 'fork', or "
                "--pool threads."
            )
        equip(worker.app)
        installed(worker.app).pool = pool_of(worker)


class ServeActivities(bootsteps.StartStopStep):  # type: ignore[misc]
    """Worker bootstep: checks the store and the pool, chooses the queues, keeps the lease."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        bridge = installed(worker.app)
        log_off(logger)
        choose_queues(worker.app, bridge)
        _refuse_other_schema(worker.app, bridge)
        _warn_of_pool(worker, bridge)
        self.lease = Lease(bridge, worker)

    def start(self, worker: Any) -> None:
        """Start the lease after the pool has forked: threads must not be there when it forks."""
        self.lease.start()

    def close(self, worker: Any) -> None:
        """The worker drains: from now on its lease offers no slots."""
        self.lease.drain()

    stop = terminate = close


def _refuse_other_schema(app: Any, bridge: Installation) -> None:
    """Refuse to start a worker of activities when another version of the bridge uses the store.

    A worker that consumes only ordinary queues starts without a lease, because its tasks need
    none. When the store does not answer, the renewals of the lease find its schema later.

    Raises:
        SchemaMismatch: Another version of the bridge uses the store.
    """
    try:
        check_schema(bridge.settings)
    except StoreUnavailable as exc:
        logger.info("the store's schema is not known yet: %s", exc)
    except SchemaMismatch as exc:
        if {*bridge.registry.queues, SYSTEM_QUEUE} & {*app.amqp.queues.consume_from}:
            raise
        logger.warning("this worker serves no activity: %s", exc)


def _warn_of_pool(worker: Any, bridge: Installation) -> None:
    """Warn of the options of activities that Celery ignores with the worker's pool."""
    pool = pool_of(worker)
    for activity in bridge.registry.values():
        task, ignored = activity.task, []
        if task.soft_time_limit and not pool.has_soft_limit:
            ignored.append("soft_time_limit")
        if task.time_limit and not pool.has_hard_limit:
            ignored.append("time_limit")
        if activity.terminate_on_cancel and not pool.can_terminate:
            logger.warning(
                "activity %s: Celery's %s pool cannot terminate a job, so terminate_on_cancel of "
                "task %s has no effect; use --pool prefork, or ask bridge.current().cancelled",
                activity.name,
                pool.name,
                task.name,
            )
        if ignored:
            logger.warning(
                "activity %s: Celery's %s pool ignores %s of task %s; use --pool prefork, or "
                "TimeoutSeconds of the state",
                activity.name,
                pool.name,
                " and ".join(ignored),
                task.name,
            )
