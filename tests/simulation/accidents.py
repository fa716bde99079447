"""Accidents of the simulated world: processes die or freeze, servers go away, clocks jump."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.support.killpoints import KillPoint

if TYPE_CHECKING:
    from tests.simulation.world import World

MEAN_PAUSE_S = 40.0
STORM_S, CALM_S = 300.0, 400.0
"""Accidents and losses come in storms; in between, what must go as planned can be seen."""


class Accidents:
    """Draws accidents from the seed; each seed has about half of the kinds."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng.__class__(f"accidents {world.seed}")
        kinds: dict[str, Callable[[], None]] = {
            "kill worker": self._kill_worker,
            "kill poller or beat": self._kill_other,
            "kill child": self._kill_child,
            "kill at a kill point": self._arm_kill_point,
            "freeze worker": self._freeze_worker,
            "freeze poller or beat": self._freeze_other,
            "drain": self._drain,
            "store away": self._store_goes,
            "store loses writes": self._store_loses_writes,
            "clock jump": self._clock_jumps,
            "broker away": self._broker_goes,
        }
        self._kinds = {
            kind: do for kind, do in kinds.items() if world.faults.any and self._rng.random() < 0.5
        }
        world.faults.kinds |= set(self._kinds)

    async def happen(self) -> None:
        """Let storms come and go."""
        while True:
            await asyncio.sleep(CALM_S / 4)
            self._world.faults.on = self._world.faults.any
            ends_s = self._world.now_s + STORM_S
            while self._kinds and self._world.now_s < ends_s:
                await asyncio.sleep(self._rng.expovariate(1 / MEAN_PAUSE_S))
                kind = self._rng.choice(sorted(self._kinds))
                self._world.faults.note(kind)
                self._kinds[kind]()
            await asyncio.sleep(max(0.0, ends_s - self._world.now_s))
            self.end()
            await asyncio.sleep(CALM_S)

    def end(self) -> None:
        """Everything works again."""
        world = self._world
        world.faults.on = False
        world.armed_kill_point = ""
        world.network.away_until_s = world.broker.away_until_s = world.now_s
        for process in (*world.workers, *world.others):
            if process.frozen:
                world.thaw(process)
        world.broker.deliver()

    def _kill_worker(self) -> None:
        if self._world.workers:
            self._world.end_process(self._rng.choice(self._world.workers))

    def _kill_other(self) -> None:
        if self._world.others:
            self._world.end_process(self._rng.choice(self._world.others))

    def _kill_child(self) -> None:
        busy = [each for each in self._world.workers if each.running]
        if busy:
            worker = self._rng.choice(busy)
            worker.kill_child(self._rng.randrange(len(worker.running)))

    def _arm_kill_point(self) -> None:
        self._world.armed_kill_point = self._rng.choice(list(KillPoint))

    def _freeze_worker(self) -> None:
        if self._world.workers:
            self._world.freeze(self._rng.choice(self._world.workers), self._rng.uniform(1, 40))

    def _freeze_other(self) -> None:
        if self._world.others:
            self._world.freeze(self._rng.choice(self._world.others), self._rng.uniform(1, 40))

    def _drain(self) -> None:
        process = self._rng.choice([*self._world.workers, *self._world.others])
        process.drain()

    def _store_goes(self) -> None:
        seconds = self._rng.uniform(0.5, 25)
        self._stop_time(seconds)
        self._world.network.away_until_s = self._world.now_s + seconds
        self._world.network.refuses = self._rng.random() < 0.5

    def _stop_time(self, seconds: float) -> None:
        """The store's time stands still while no process can tell whether its clock has jumped."""
        lease_s = self._world.settings.lease_s
        self._world.faults.stopped_time_s = self._world.now_s + seconds + lease_s

    def _store_loses_writes(self) -> None:
        world = self._world
        world.server.snapshot()

        def take_over() -> None:
            world.faults.note("another server takes over")
            world.observer.writes_are_lost()
            world.server.restore()
            world.observer.writes_are_lost()

        world.call_later(self._rng.choice((0.01, 0.3, 2.0)), take_over)

    def _clock_jumps(self) -> None:
        self._stop_time(0.0)
        self._world.server.jumped_ms += self._rng.choice((-1, 1)) * self._rng.randint(100, 900_000)

    def _broker_goes(self) -> None:
        world, seconds = self._world, self._rng.uniform(0.5, 25)
        world.broker.away_until_s = world.now_s + seconds
        world.call_later(seconds + 0.01, world.broker.deliver)
