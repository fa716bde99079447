"""The bridge's own Celery tasks, run every tick on ``bridge.system`` by the beat process.

Their calls to Step Functions are asyncio, Celery's tasks are not: one event loop in a thread of the
process keeps the connections between ticks.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any, TypeVar

from celery import Celery, bootsteps, signals

from bridge import heartbeat, recovery
from bridge.dispatch import Dispatcher
from bridge.errors import SchemaMismatch, StoreUnavailable
from bridge.garbage import spare_collections
from bridge.installation import Installation, installed, pool_of
from bridge.metrics.instruments import Instruments
from bridge.processes.ticks import FLUSH, HEARTBEAT, METRICS, RECOVER, SystemQueue, Tick, period_s
from bridge.registry import SYSTEM_QUEUE
from bridge.reporter import Reporter
from bridge.stepfunctions import Clients, Places
from bridge.store import ClaimStore, Pass, StatusReader

T = TypeVar("T")

logger = logging.getLogger(__name__)

OVERDUE_S = 5.0
"""An outcome that waits longer than this has no poller's reporter to take it."""
CLOSE_S = 5.0
"""A connection that does not close within this time ends with its process."""


class Calls:
    """A process's event loop, client and store for the system tasks."""

    def __init__(self, bridge: Installation, instruments: Instruments) -> None:
        self._bridge = bridge
        self.instruments = instruments
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="bridge-calls", daemon=True
        )
        self._thread.start()
        self.dispatcher = Dispatcher(bridge)
        self.clients, self.store = self.wait(self._connect())
        spare_collections()

    async def _connect(self) -> tuple[Clients, ClaimStore]:
        settings, meters = self._bridge.settings, self.instruments.meters
        places = Places(settings.roles)
        return Clients(places, on_throttled=meters.throttled), ClaimStore(settings)

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it on the loop, from any other thread, and wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        """Close the connections, and end the loop and its thread; no pass may be on."""
        try:
            self.wait(asyncio.wait_for(self._disconnect(), CLOSE_S))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _disconnect(self) -> None:
        await self.clients.close()
        await self.store.close()


# Passes of one kind at once in one process. While Step Functions hangs, heartbeats must not fill
# the pool, or nothing would be recovered; but those that come due meanwhile must not wait for them.
_permits = {
    HEARTBEAT: threading.BoundedSemaphore(4),
    FLUSH: threading.BoundedSemaphore(1),
    RECOVER: threading.BoundedSemaphore(1),
    METRICS: threading.BoundedSemaphore(1),
}
# A pass begins at most so often in a period of its ticks: what an outage or an earlier version left
# in the queue is drained, not worked through. Not once a period, for ticks may arrive late.
PASSES_A_PERIOD = 4
# When a pass of this kind last began here, by the monotonic clock.
_began_s: dict[str, float] = {}
_lock = threading.Lock()
# By process: a fork has no thread, hence no loop, and nobody to ask it for its counts.
_instruments: dict[int, Instruments] = {}
_calls: dict[int, Calls] = {}


def _instruments_of(bridge: Installation) -> Instruments:
    with _lock:
        if os.getpid() not in _instruments:
            _instruments[os.getpid()] = Instruments(bridge)
        return _instruments[os.getpid()]


def _calls_of(bridge: Installation) -> Calls:
    instruments = _instruments_of(bridge)
    with _lock:
        if os.getpid() not in _calls:
            _calls[os.getpid()] = Calls(bridge, instruments)
        return _calls[os.getpid()]


class MetricsPort(bootsteps.StartStopStep):  # type: ignore[misc]
    """Worker bootstep: a beat process answers Prometheus; other workers do not."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self.enabled = SYSTEM_QUEUE in worker.app.amqp.queues.consume_from
        if not self.enabled:
            return
        self._instruments = _instruments_of(installed(worker.app))
        self._instruments.bind()
        if installed(worker.app).settings.metrics_port and pool_of(worker) == "prefork":
            logger.warning(
                "BRIDGE_METRICS_PORT: what the processes of a prefork pool count reaches nobody; "
                "run beat with --pool threads")  # fmt: skip

    def start(self, worker: Any) -> None:
        """After the pool has forked: a thread before it would be a hazard in the children."""
        self._instruments.serve()


def _close_calls(**_: Any) -> None:
    """Celery has stopped the pool, or this process of it: no pass is on any more."""
    with _lock:
        calls = _calls.pop(os.getpid(), None)
    if calls is not None:
        calls.close()


def register(app: Celery) -> None:
    """Give ``app`` the system tasks."""
    signals.worker_shutdown.connect(_close_calls)
    signals.worker_process_shutdown.connect(_close_calls)
    options = {
        "base": Tick,
        "system_queue": SystemQueue(app),
        "ignore_result": True,
        "acks_late": False,
        "shared": False,
        "send_events": False,  # three a tick would bury the users' jobs in Flower
    }

    @app.task(name=HEARTBEAT, **options)
    def heartbeat_pass() -> dict[str, int] | None:
        """Beat the tokens that are due."""
        return _pass(HEARTBEAT, app, _heartbeat)

    @app.task(name=FLUSH, **options)
    def flush_outbox() -> int | None:
        """Report the outcomes that no poller has taken."""
        return _pass(FLUSH, app, _flush)

    @app.task(name=RECOVER, **options)
    def recover() -> dict[str, int] | None:
        """Recover what dead workers and pollers left behind."""
        return _pass(RECOVER, app, _recover)

    @app.task(name=METRICS, **options)
    def publish_metrics() -> None:
        """Say how the fleet stands."""
        _pass(METRICS, app, _publish)


def _pass(name: str, app: Celery, work: Callable[[Installation, Calls], T]) -> T | None:
    """One pass; None when enough of its kind are on here, one just began, or the store is away."""
    permit = _permits[name]
    if not permit.acquire(blocking=False):
        return None
    try:
        if not _is_time(name, app):
            return None
        bridge = installed(app)
        return work(bridge, _calls_of(bridge))
    except (SchemaMismatch, StoreUnavailable) as exc:
        logger.warning("%s is skipped in this tick: %s", name, exc)
        return None
    finally:
        permit.release()


def _is_time(name: str, app: Celery) -> bool:
    now_s = time.monotonic()
    if now_s - _began_s.get(name, -math.inf) < period_s(app, name) / PASSES_A_PERIOD:
        return False
    _began_s[name] = now_s
    return True


def _heartbeat(bridge: Installation, calls: Calls) -> dict[str, int]:
    calls.wait(calls.store.watch_clock())
    calls.wait(calls.store.note_beat(Pass.HEARTBEAT))
    done = calls.wait(
        heartbeat.beat_due(
            clients=calls.clients, store=calls.store, on_unfinished=calls.dispatcher.revoke_soon,
            concurrent_calls=bridge.settings.concurrent_calls, meters=calls.instruments.meters)
    )  # fmt: skip
    return asdict(done)


def _flush(bridge: Installation, calls: Calls) -> int:
    calls.wait(calls.store.watch_clock())
    reporter = Reporter(
        clients=calls.clients, store=calls.store, on_unfinished=calls.dispatcher.revoke_soon,
        concurrent_calls=bridge.settings.concurrent_calls,
        meters=calls.instruments.meters)  # fmt: skip
    return calls.wait(reporter.flush(overdue_s=OVERDUE_S))


def _publish(bridge: Installation, calls: Calls) -> None:
    reader = StatusReader(bridge.settings)
    try:
        calls.instruments.say_fleet(reader.read(list(bridge.registry)))
    finally:
        reader.close()


def _recover(bridge: Installation, calls: Calls) -> dict[str, int]:
    calls.wait(calls.store.watch_clock())
    calls.wait(calls.store.note_beat(Pass.RECOVERY))
    done = calls.wait(
        recovery.sweep(
            store=calls.store, jobs=bridge.jobs, dispatcher=calls.dispatcher,
            meters=calls.instruments.meters)
    )  # fmt: skip
    return asdict(done)
