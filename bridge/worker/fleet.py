"""What a worker does about the fleet as it starts and ends: its queues, its lease."""

from __future__ import annotations

import logging
from typing import Any

from celery import bootsteps

from bridge.app_state import Installation, installed, pool_of
from bridge.errors import SchemaMismatch, StoreUnavailable
from bridge.registry import SYSTEM_QUEUE
from bridge.store import check_schema
from bridge.versions import log_off
from bridge.worker.lease import Lease

logger = logging.getLogger(__name__)


class Fleet(bootsteps.StartStopStep):  # type: ignore[misc]
    """Worker bootstep: checks the registry, chooses the queues, keeps the lease."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        bridge = installed(worker.app)
        log_off(logger)
        _choose_queues(worker.app, bridge)
        _refuse_other_schema(worker.app, bridge)
        _warn_of_pool(worker, bridge)
        self.lease = Lease(bridge, worker)

    def start(self, worker: Any) -> None:
        """After the pool has forked: a thread before it would be a hazard in the children."""
        self.lease.start()

    def close(self, worker: Any) -> None:
        """Draining: the lease goes on, the slots do not."""
        self.lease.drain()

    stop = terminate = close


def _choose_queues(app: Any, bridge: Installation) -> None:
    """Without -Q: never the bridge's own, and for ``celery -A bridge`` every activity's queue.

    Another app's worker serves what it served before: in the queue of an activity there may be
    ordinary tasks, which are for the workers that the app has for them.
    """
    queues = app.amqp.queues
    # The only sign that -Q was given, inside Celery; without it a worker serves what Celery says.
    if getattr(queues, "_consume_from", ()) is not None:
        return
    if bridge.imports_tasks:
        names = {*queues.consume_from, *bridge.registry.queues} - {SYSTEM_QUEUE}
        queues.select(sorted(names))
    elif SYSTEM_QUEUE in queues.consume_from:
        queues.deselect(SYSTEM_QUEUE)


def _refuse_other_schema(app: Any, bridge: Installation) -> None:
    """A worker for activities does not start beside one of another version.

    One that serves ordinary queues only goes on without a lease: its tasks need none. A store that
    is away is looked at again when the lease is renewed.

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
    """Celery ignores silently what the pool cannot do."""
    pool = pool_of(worker)
    if pool == "prefork":
        return
    for activity in bridge.registry.values():
        limits = ["soft_time_limit"] if activity.task.soft_time_limit else []
        if activity.task.time_limit and pool != "gevent":
            limits.append("time_limit")
        if activity.terminate_on_cancel and pool not in ("gevent", "eventlet"):
            logger.warning(
                "activity %s: Celery's %s pool cannot terminate a job, so terminate_on_cancel of "
                "task %s has no effect; use --pool prefork, or ask bridge.current().cancelled",
                activity.name,
                pool,
                activity.task.name,
            )
        if limits:
            logger.warning(
                "activity %s: Celery's %s pool ignores %s of task %s; use --pool prefork, or "
                "TimeoutSeconds of the state",
                activity.name,
                pool,
                " and ".join(limits),
                activity.task.name,
            )
