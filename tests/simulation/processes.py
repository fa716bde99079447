"""Simulated pollers and beat processes: the real loops, put together as the real processes do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from bridge.errors import SchemaMismatch, StoreUnavailable
from bridge.loops.dispatcher import Dispatcher
from bridge.loops.poller import Poller
from bridge.loops.reporter import Reporter
from bridge.metrics import OFF
from bridge.processes import passes
from bridge.processes.beat_stand_in import BeatStandIn
from bridge.processes.ticks import FLUSH, HEARTBEAT, RECOVER
from bridge.store import ClaimStore
from tests.simulation.clock import in_thread, wait_for
from tests.simulation.process import Process
from tests.simulation.settings import KINDS
from tests.simulation.step_functions import Clients

if TYPE_CHECKING:
    from tests.simulation.world import World

PASSES_AT_ONCE = {HEARTBEAT: 4, FLUSH: 1, RECOVER: 1}


class PollerProcess(Process):
    """``celery -A bridge poll``; see ``bridge.processes.poll``."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(name)
        self._world = world

    def start(self) -> None:
        bridge, settings = self._world.app.installation, self._world.settings
        dispatcher, store, clients = Dispatcher(bridge), ClaimStore(settings), Clients(self._world)
        self.poller = Poller(
            registry=bridge.registry,
            arns={kind.activity: kind.arn for kind in KINDS},
            clients=clients,  # type: ignore[arg-type]
            store=store,
            dispatcher=dispatcher,
            settings=settings,
            name=self.name,
        )
        self._reporter = Reporter(
            clients=clients,  # type: ignore[arg-type]
            store=store,
            concurrent_calls=settings.concurrent_calls,
            on_unfinished=dispatcher.revoke_soon,
            on_closing=self.poller.wake,
        )
        self._stand_in = BeatStandIn(
            bridge=bridge,
            clients=clients,  # type: ignore[arg-type]
            store=store,
            dispatcher=dispatcher,
        )
        self._world.loop.create_task(self._serve())

    async def _serve(self) -> None:
        others = [asyncio.create_task(each.run()) for each in (self._reporter, self._stand_in)]
        await self.poller.run()
        self._reporter.stop()
        self._stand_in.stop()
        await asyncio.wait(others)
        self._world.end_process(self)

    def drain(self) -> None:
        """SIGTERM."""
        self._world.trace("drains", self.name)
        self.poller.drain()


class BeatProcess(Process):
    """The beat process: each tick begins the real passes; see ``bridge.processes.beat``."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(name)
        self._world = world
        self._on: dict[str, int] = dict.fromkeys(PASSES_AT_ONCE, 0)

    def start(self) -> None:
        self._calls = SimpleNamespace(
            clients=Clients(self._world),
            store=ClaimStore(self._world.settings),
            dispatcher=Dispatcher(self._world.app.installation),
            instruments=SimpleNamespace(meters=OFF),
            wait=wait_for,
        )
        self._world.loop.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            for name, most in PASSES_AT_ONCE.items():
                if self._on[name] < most:
                    self._on[name] += 1
                    asyncio.create_task(self._pass(name))  # noqa: RUF006 (the loop keeps it)
            await asyncio.sleep(self._world.settings.tick_s)

    async def _pass(self, name: str) -> None:
        work: Callable[..., Any] = passes.PASSES[name]
        try:
            await in_thread(work, self._world.app.installation, self._calls)
        except (SchemaMismatch, StoreUnavailable):
            self._world.trace("pass skipped", self.name, name)
        finally:
            self._on[name] -= 1

    def drain(self) -> None:
        """SIGTERM: a tick is short, so it ends at once."""
        self._world.end_process(self)
