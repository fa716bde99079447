"""Run the passes that ticks start in a beat process: heartbeat, flush, recovery, metrics.

Their calls to Step Functions are asyncio, and Celery's tasks are not. So one event loop, in a
thread of the process, keeps the connections between ticks.

Only processes that serve ``bridge.system`` load this module. Other workers need neither botocore
nor aiohttp, which are a third of what they would import.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any, TypeVar

from celery import signals

from bridge.app_state import Installation
from bridge.loops import heartbeat, recovery
from bridge.loops.dispatcher import Dispatcher
from bridge.loops.reporter import Reporter
from bridge.metrics.instruments import Instruments
from bridge.processes.ticks import FLUSH, HEARTBEAT, METRICS, RECOVER
from bridge.stepfunctions import Clients, Places
from bridge.store import ClaimStore, PassKind, StatusReader
from bridge.support.gc_tuning import spare_collections

T = TypeVar("T")

OVERDUE_S = 5.0
"""An outcome that waits for longer than this is overdue: no poller's reporter has taken it."""
CLOSE_S = 5.0
"""How long to wait for connections to close; later the end of the process closes them."""


class PassRuntime:
    """What the passes of one process share: an event loop, clients, the store, the dispatcher."""

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
        """Run a coroutine on the loop, from any other thread, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        """Close the connections, and end the loop and its thread; no pass may be running."""
        try:
            self.wait(asyncio.wait_for(self._disconnect(), CLOSE_S))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _disconnect(self) -> None:
        await self.clients.close()
        await self.store.close()


# By process id: a fork has no thread, hence no loop, and no port that its counts are read from.
_instruments: dict[int, Instruments] = {}
_runtimes: dict[int, PassRuntime] = {}
_lock = threading.Lock()


def instruments_of(bridge: Installation) -> Instruments:
    """What this process counts with."""
    with _lock:
        if os.getpid() not in _instruments:
            _instruments[os.getpid()] = Instruments(bridge)
        return _instruments[os.getpid()]


def runtime_of(bridge: Installation) -> PassRuntime:
    """What the passes of this process share; made by its first pass."""
    instruments = instruments_of(bridge)
    with _lock:
        if os.getpid() not in _runtimes:
            _runtimes[os.getpid()] = PassRuntime(bridge, instruments)
        return _runtimes[os.getpid()]


def _close_runtime(**_: Any) -> None:
    """End the event loop: Celery has stopped the pool, or this process of it, so no pass runs."""
    with _lock:
        runtime = _runtimes.pop(os.getpid(), None)
    if runtime is not None:
        runtime.close()


def _note_begin(runtime: PassRuntime, kind: PassKind) -> None:
    """Tell the store that a beat process begins a pass, so that no poller stands in for it."""
    runtime.wait(runtime.store.watch_clock())
    runtime.wait(runtime.store.note_beat_pass(kind))


def send_heartbeats(bridge: Installation, runtime: PassRuntime) -> dict[str, int]:
    """Heartbeat the tokens that are due."""
    _note_begin(runtime, PassKind.HEARTBEAT)
    done = runtime.wait(
        heartbeat.send_due_heartbeats(
            clients=runtime.clients,
            store=runtime.store,
            on_unfinished=runtime.dispatcher.revoke_soon,
            concurrent_calls=bridge.settings.concurrent_calls,
            meters=runtime.instruments.meters,
        )
    )
    return asdict(done)


def flush(bridge: Installation, runtime: PassRuntime) -> int:
    """Report the outcomes that no poller's reporter has taken."""
    runtime.wait(runtime.store.watch_clock())
    reporter = Reporter(
        clients=runtime.clients,
        store=runtime.store,
        on_unfinished=runtime.dispatcher.revoke_soon,
        concurrent_calls=bridge.settings.concurrent_calls,
        meters=runtime.instruments.meters,
    )
    return runtime.wait(reporter.flush(overdue_s=OVERDUE_S))


def publish_metrics(bridge: Installation, runtime: PassRuntime) -> None:
    """Publish the metrics that describe the fleet."""
    reader = StatusReader(bridge.settings)
    try:
        runtime.instruments.publish_fleet(reader.read(list(bridge.registry)))
    finally:
        reader.close()


def recover(bridge: Installation, runtime: PassRuntime) -> dict[str, int]:
    """Recover what dead workers and pollers left behind."""
    _note_begin(runtime, PassKind.RECOVERY)
    done = runtime.wait(
        recovery.recover(
            store=runtime.store,
            jobs=bridge.jobs,
            dispatcher=runtime.dispatcher,
            meters=runtime.instruments.meters,
        )
    )
    return asdict(done)


PASSES: dict[str, Callable[[Installation, PassRuntime], Any]] = {
    HEARTBEAT: send_heartbeats,
    FLUSH: flush,
    RECOVER: recover,
    METRICS: publish_metrics,
}
signals.worker_shutdown.connect(_close_runtime)
signals.worker_process_shutdown.connect(_close_runtime)
