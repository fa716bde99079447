"""What a worker tells the fleet: its slots, its queues, and that it lives (its lease).

A thread of the worker's parent process renews the lease until the process exits: in a warm shutdown
the pool still runs jobs long after Celery has stopped the worker's timers.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import bootsteps, signals

from bridge.errors import StoreUnavailable
from bridge.installation import Installation, adopt_worker_id, installed
from bridge.registry import SYSTEM_QUEUE

logger = logging.getLogger(__name__)


class Fleet(bootsteps.StartStopStep):  # type: ignore[misc]
    """Worker bootstep: checks the registry, chooses the queues, keeps the lease."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        bridge = installed(worker.app)
        _serve_all_queues(worker.app, bridge)
        _warn_of_limits(worker, bridge)
        self.lease = Lease(bridge, worker)

    def start(self, worker: Any) -> None:
        """After the pool has forked: a thread before it would be a hazard in the children."""
        self.lease.start()

    def stop(self, worker: Any) -> None:
        """Draining: the lease goes on, the slots do not."""
        self.lease.drain()

    terminate = stop


def _serve_all_queues(app: Any, bridge: Installation) -> None:
    """Without -Q, serve every queue of an activity too; never the bridge's own."""
    queues = app.amqp.queues
    # The only sign that -Q was not given; celery is pinned below 5.8.
    if queues._consume_from is None:
        names = {*queues.consume_from, *bridge.registry.queues} - {SYSTEM_QUEUE}
        queues.select(sorted(names))


def _warn_of_limits(worker: Any, bridge: Installation) -> None:
    """Celery ignores time limits silently where the pool cannot keep them."""
    pool = str(getattr(worker.pool_cls, "__module__", "")).rpartition(".")[2]
    if pool == "prefork":
        return
    for activity in bridge.registry.values():
        limits = ["soft_time_limit"] if activity.task.soft_time_limit else []
        if activity.task.time_limit and pool != "gevent":
            limits.append("time_limit")
        if limits:
            logger.warning(
                "activity %s: Celery's %s pool ignores %s of task %s; use --pool prefork, or "
                "TimeoutSeconds of the state",
                activity.name, pool, " and ".join(limits), activity.task.name)  # fmt: skip


class Lease:
    """One worker's lease, renewed every third of its time."""

    def __init__(self, bridge: Installation, worker: Any) -> None:
        self._bridge = bridge
        self._worker = worker
        self._id = adopt_worker_id(worker.hostname)
        self._draining = False
        self._ended = False
        self._wake = threading.Event()
        self._interval_s = bridge.settings.lease_s / 3

    def start(self) -> None:
        """Announce the worker, now and for as long as the process lives."""
        threading.Thread(target=self._renew_for_ever, name="bridge-lease", daemon=True).start()
        # Sent when the pool has ended its last job; a killed worker's lease ends by itself.
        signals.worker_shutdown.connect(self._leave, sender=self._worker, weak=False)

    def drain(self) -> None:
        """Announce no slots any more; what runs goes on."""
        self._draining = True
        self._wake.set()

    def _leave(self, **_: Any) -> None:
        self._ended = True
        try:
            held = self._bridge.jobs.leave(self._id)
        except StoreUnavailable as exc:
            logger.warning("%s This worker's lease ends by itself.", exc)
        else:
            if held:
                logger.warning("worker %s leaves %d unfinished jobs to recovery", self._id, held)

    def _slots(self) -> int:
        if self._draining:
            return 0
        if self._worker.autoscale:
            return int(self._worker.max_concurrency)
        return int(self._worker.concurrency or 1)

    def _renew_for_ever(self) -> None:
        queues = list(self._worker.app.amqp.queues.consume_from)
        known = False
        while not self._ended:
            # Before the call: a drain that begins during it must be announced too.
            self._wake.clear()
            pause_s = self._interval_s
            try:
                held = self._bridge.jobs.renew_lease(self._id, slots=self._slots(), queues=queues)
            except StoreUnavailable as exc:
                logger.warning("lease of worker %s not renewed: %s", self._id, exc)
                pause_s = min(1.0, pause_s)
            except Exception:
                logger.exception("lease of worker %s not renewed; the next try follows", self._id)
            else:
                if known and not held:
                    logger.warning(
                        "the lease of worker %s had ended before it was renewed: what it runs may "
                        "run elsewhere too", self._id)  # fmt: skip
                known = True
            self._wake.wait(pause_s)
