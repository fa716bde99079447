"""Define the bridge's periodic Celery tasks, which the beat process runs from ``bridge.system``.

Each worker loads this module. What the tasks do is in ``bridge.processes.passes``, which only the
processes that serve the queue load.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import Any

from celery import Celery, bootsteps

from bridge.app_state import installed
from bridge.errors import SchemaMismatch, StoreUnavailable
from bridge.processes.ticks import FLUSH, HEARTBEAT, METRICS, RECOVER, SystemQueue, Tick, period_s
from bridge.registry import SYSTEM_QUEUE
from bridge.worker.pools import pool_of

logger = logging.getLogger(__name__)

# How many passes of one kind may run at once in one process. While Step Functions hangs, heartbeat
# passes must not fill the pool, or nothing would be recovered; but heartbeats that become due
# meanwhile must not wait for the passes that hang.
_permits = {
    HEARTBEAT: threading.BoundedSemaphore(4),
    FLUSH: threading.BoundedSemaphore(1),
    RECOVER: threading.BoundedSemaphore(1),
    METRICS: threading.BoundedSemaphore(1),
}
# The most passes of one kind that begin in one period of its ticks. Further ticks, such as those
# that an outage or an earlier version left in the queue, are dropped without a pass. The number is
# above 1, because ticks may be late.
PASSES_A_PERIOD = 4
# When a pass of this kind last began here, by the monotonic clock.
_began_s: dict[str, float] = {}


class MetricsPort(bootsteps.StartStopStep):  # type: ignore[misc]
    """Worker bootstep: serve Prometheus in a beat process, and in no other worker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self.enabled = SYSTEM_QUEUE in worker.app.amqp.queues.consume_from
        if not self.enabled:
            return
        from bridge.processes.passes import instruments_of

        self._instruments = instruments_of(installed(worker.app))
        self._instruments.bind()
        if installed(worker.app).settings.metrics_port and pool_of(worker).forks:
            logger.warning(
                "BRIDGE_METRICS_PORT: what the processes of a prefork pool count is not published; "
                "run beat with --pool threads"
            )

    def start(self, worker: Any) -> None:
        """Serve, now that the pool has forked: an earlier thread would endanger its children."""
        self._instruments.serve()


def register(app: Celery) -> None:
    """Give ``app`` the system tasks."""
    options = {
        "base": Tick,
        "system_queue": SystemQueue(app),
        "ignore_result": True,
        "acks_late": False,
        "shared": False,
        "send_events": False,  # three in each tick interval would hide the users' jobs in Flower
    }

    @app.task(name=HEARTBEAT, **options)
    def heartbeat_pass() -> Any:
        """Heartbeat the tokens that are due."""
        return _pass(HEARTBEAT, app)

    @app.task(name=FLUSH, **options)
    def flush_outbox() -> Any:
        """Report the outcomes that no poller's reporter has taken."""
        return _pass(FLUSH, app)

    @app.task(name=RECOVER, **options)
    def recover() -> Any:
        """Recover what dead workers and pollers left behind."""
        return _pass(RECOVER, app)

    @app.task(name=METRICS, **options)
    def publish_metrics() -> None:
        """Publish the metrics that describe the fleet."""
        _pass(METRICS, app)


def _pass(name: str, app: Celery) -> Any:
    """Run one pass and return its result.

    None: enough passes of its kind run here, one has just begun, or the store does not answer.
    """
    permit = _permits[name]
    if not permit.acquire(blocking=False):
        return None
    try:
        if not _is_time(name, app):
            return None
        from bridge.processes import passes

        bridge = installed(app)
        return passes.PASSES[name](bridge, passes.runtime_of(bridge))
    except (SchemaMismatch, StoreUnavailable) as exc:
        logger.warning("this pass of %s is skipped: %s", name, exc)
        return None
    finally:
        permit.release()


def _is_time(name: str, app: Celery) -> bool:
    now_s = time.monotonic()
    if now_s - _began_s.get(name, -math.inf) < period_s(app, name) / PASSES_A_PERIOD:
        return False
    _began_s[name] = now_s
    return True
