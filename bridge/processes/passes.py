"""What a beat process does in a tick: the passes, and what they share in a process.

Their calls to Step Functions are asyncio, Celery's tasks are not: one event loop in a thread of the
process keeps the connections between ticks.

Only processes that serve ``bridge.system`` load this module: other workers need neither botocore
nor aiohttp, a third of what they would import.
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


# By process: a fork has no thread, hence no loop, and no port that its counts are read from.
_instruments: dict[int, Instruments] = {}
_calls: dict[int, Calls] = {}
_lock = threading.Lock()


def instruments_of(bridge: Installation) -> Instruments:
    """What this process counts with."""
    with _lock:
        if os.getpid() not in _instruments:
            _instruments[os.getpid()] = Instruments(bridge)
        return _instruments[os.getpid()]


def calls_of(bridge: Installation) -> Calls:
    """The event loop and the clients of this process; made by its first pass."""
    instruments = instruments_of(bridge)
    with _lock:
        if os.getpid() not in _calls:
            _calls[os.getpid()] = Calls(bridge, instruments)
        return _calls[os.getpid()]


def _close_calls(**_: Any) -> None:
    """Celery has stopped the pool, or this process of it: no pass is on any more."""
    with _lock:
        calls = _calls.pop(os.getpid(), None)
    if calls is not None:
        calls.close()


def send_heartbeats(bridge: Installation, calls: Calls) -> dict[str, int]:
    """Heartbeat the tokens that are due."""
    calls.wait(calls.store.watch_clock())
    calls.wait(calls.store.note_beat_pass(PassKind.HEARTBEAT))
    done = calls.wait(
        heartbeat.send_due_heartbeats(
            clients=calls.clients,
            store=calls.store,
            on_unfinished=calls.dispatcher.revoke_soon,
            concurrent_calls=bridge.settings.concurrent_calls,
            meters=calls.instruments.meters,
        )
    )
    return asdict(done)


def flush(bridge: Installation, calls: Calls) -> int:
    """Report the outcomes that no poller has taken."""
    calls.wait(calls.store.watch_clock())
    reporter = Reporter(
        clients=calls.clients,
        store=calls.store,
        on_unfinished=calls.dispatcher.revoke_soon,
        concurrent_calls=bridge.settings.concurrent_calls,
        meters=calls.instruments.meters,
    )
    return calls.wait(reporter.flush(overdue_s=OVERDUE_S))


def publish_metrics(bridge: Installation, calls: Calls) -> None:
    """Say how the fleet stands."""
    reader = StatusReader(bridge.settings)
    try:
        calls.instruments.publish_fleet(reader.read(list(bridge.registry)))
    finally:
        reader.close()


def recover(bridge: Installation, calls: Calls) -> dict[str, int]:
    """Recover what dead workers and pollers left behind."""
    calls.wait(calls.store.watch_clock())
    calls.wait(calls.store.note_beat_pass(PassKind.RECOVERY))
    done = calls.wait(
        recovery.recover(
            store=calls.store,
            jobs=bridge.jobs,
            dispatcher=calls.dispatcher,
            meters=calls.instruments.meters,
        )
    )
    return asdict(done)


PASSES: dict[str, Callable[[Installation, Calls], Any]] = {
    HEARTBEAT: send_heartbeats,
    FLUSH: flush,
    RECOVER: recover,
    METRICS: publish_metrics,
}
signals.worker_shutdown.connect(_close_calls)
signals.worker_process_shutdown.connect(_close_calls)
