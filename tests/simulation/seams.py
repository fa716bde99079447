"""Everything that the simulation replaces in the bridge, in one table.

These are clocks, threads, randomness, the connection to the store, and what tells one process from
another, because all simulated processes share one interpreter.
"""

from __future__ import annotations

import atexit
import logging
import queue
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import greenlet

from bridge import app_state
from bridge.store import scripts
from bridge.support import killpoints
from bridge.worker import celery_signals, last_run, lease, occupancy, pools, run
from tests.simulation import clock, store_server
from tests.simulation.process import PROCESS
from tests.simulation.store_clients import TIMEOUT_S, AsyncClient, BlockingClient
from tests.simulation.worker import Occupancy, active_requests

if TYPE_CHECKING:
    from tests.simulation.world import World

ROOMS = ("bridge.app_state", "bridge.loops", "bridge.store", "bridge.support", "bridge.worker")
"""Where the names of the table are replaced, in whichever modules have them."""


SAMPLE_S = 1.0
"""How often a worker looks what occupies it: every quarter of a second would be a tenth of all that
is simulated."""


class _ByGreenlet:
    """``threading.local`` for greenlets."""

    def __getattr__(self, name: str) -> Any:
        try:
            return vars(greenlet.getcurrent())[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        vars(greenlet.getcurrent())[name] = value


class _ByWorker:
    """The writer of endings that each worker's parent process has."""

    def write(self, call: Any) -> None:
        worker = PROCESS.get().worker  # type: ignore[union-attr]
        if worker.endings is None:
            worker.endings = celery_signals._Writer()
        worker.endings.write(call)


def _worker_id() -> str:
    return PROCESS.get().worker.name  # type: ignore[union-attr, no-any-return]


def _in_pool_process() -> bool:
    process = PROCESS.get()
    return process is not None and process.parent is not None


def _having(name: str, original: Any) -> list[Any]:
    modules = [module for path, module in sorted(sys.modules.items()) if path.startswith(ROOMS)]
    found = [module for module in modules if getattr(module, name, None) is original]
    assert found, f"no module has {name}"
    return found


@contextmanager
def replaced(world: World) -> Iterator[None]:
    """Within it, the bridge runs in this world."""
    times = SimpleNamespace(monotonic=lambda: world.now_s, sleep=clock.sleep)
    threads = SimpleNamespace(
        Thread=clock.Thread,
        Event=clock.Event,
        Lock=threading.Lock,
        local=threading.local,
    )
    at_exit = SimpleNamespace(register=lambda call: PROCESS.get().worker.at_exit.append(call))
    numbers = iter(range(10**9))

    def connect(
        settings: Any, *, timeout_s: float | None = None, tries: int = scripts.TRIES
    ) -> Any:
        return BlockingClient(world.network, tries=tries, timeout_s=timeout_s or TIMEOUT_S)

    def connect_async(settings: Any) -> Any:
        return AsyncClient(world.network, tries=scripts.TRIES)

    table: list[tuple[str, Any, Any]] = [
        ("Queue", queue.Queue, clock.Queue),
        ("SimpleQueue", queue.SimpleQueue, clock.Queue),
        ("OccupancyReader", occupancy.OccupancyReader, Occupancy),
        ("SAMPLE_S", lease.SAMPLE_S, SAMPLE_S),
        ("_last", last_run._last, _ByGreenlet()),
        ("_writer", celery_signals._writer, _ByWorker()),
        ("active_requests", occupancy.active_requests, active_requests),
        ("adopt_worker_id", app_state.adopt_worker_id, lambda name: name),
        ("atexit", atexit, at_exit),
        ("connect", scripts.connect, connect),
        ("connect_async", scripts.connect_async, connect_async),
        ("in_pool_process", pools.in_pool_process, _in_pool_process),
        ("new_name", run.new_name, lambda: f"run-{next(numbers)}"),
        ("script", store_server.REAL_SCRIPT, store_server.script),
        ("threading", threading, threads),
        ("time", time, times),
        ("worker_id", app_state.worker_id, _worker_id),
    ]
    logger = logging.getLogger("bridge")
    state = random.getstate()
    random.seed(f"bridge {world.seed}")
    logger.addHandler(world.observer)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        with ExitStack() as stack:
            for name, original, stand_in in table:
                for module in _having(name, original):
                    stack.enter_context(mock.patch.object(module, name, stand_in))
            for point in killpoints.KillPoint:
                killpoints.arm(point, lambda point=point: world.pass_kill_point(point))
            yield
    finally:
        logger.removeHandler(world.observer)
        killpoints._armed.clear()
        random.setstate(state)
