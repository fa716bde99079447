"""Run one seed: an active time with faults, then a quiet one in which everything must end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from bridge.local.valkey import LocalValkey
from tests.simulation.accidents import Accidents
from tests.simulation.clock import Stuck
from tests.simulation.invariants import Invariant
from tests.simulation.plans import draw
from tests.simulation.seams import replaced
from tests.simulation.settings import KINDS
from tests.simulation.store_server import StoreServer
from tests.simulation.world import World

LOOK_EVERY_S = 5.0
QUIET_S = 3_600.0
SETTLE_S = 60.0
ARRIVALS_PER_S = {"short": 0.12, "steady": 0.06, "long": 0.015, "manual": 0.012}
KEPT_KEYS = frozenset(
    {
        "",
        "claim",
        "classes",
        "ended",
        "fleet",
        "held",
        "lasted",
        "offers",
        "oldest",
        "passes",
        "pollers",
        "polls",
        "server",
        "simulated-expiries",
        "throttled",
        "wake",
        "workers",
    }
)
"""What the store may have while nothing is in flight."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a seed.

    Attributes:
        violation: The first one; empty: none.
        events: The last events before it.
    """

    seed: int
    hash: str
    simulated_s: float
    wall_s: float
    cpu_s: float
    executions: int
    faults: list[str]
    invariant: str = ""
    violation: str = ""
    events: list[str] = field(default_factory=list)


class Simulation:
    """One seed."""

    def __init__(self, world: World, *, active_s: float) -> None:
        self._world = world
        self._active_s = active_s

    async def run(self) -> None:
        """Play the seed to its end, or to its first violation."""
        world = self._world
        for kind in ("worker", "worker", "poller"):
            world.start_process(kind)
        for kind in ("worker", "poller", "beat", "beat"):
            if world.rng.random() < 0.6:
                world.start_process(kind)
        arrivals = [asyncio.create_task(self._arrive(kind.activity)) for kind in KINDS]
        accidents = Accidents(world)
        trouble = asyncio.create_task(accidents.happen())
        await self._watch_until(self._active_s)
        for each in (*arrivals, trouble):
            each.cancel()
        accidents.end()
        if world.observer.failed is None:
            await self._become_quiet()

    async def _arrive(self, activity: str) -> None:
        world = self._world
        kind = next(each for each in KINDS if each.activity == activity)
        rate = ARRIVALS_PER_S[activity] * world.rng.uniform(0.5, 1.5)
        while True:
            await asyncio.sleep(world.rng.expovariate(rate))
            for _ in range(world.rng.choice((1, 1, 1, 1, 8))):
                number = len(world.plans) + 1
                plan = draw(world.rng, number, kind, world.settings.heartbeat_s)
                world.plans[number] = plan
                world.step_functions.start(plan)

    async def _watch_until(self, ends_s: float) -> None:
        while self._world.now_s < ends_s and self._world.observer.failed is None:
            await asyncio.sleep(LOOK_EVERY_S)
            self._world.observer.store.look()
            self._world.observer.runs.look()

    async def _become_quiet(self) -> None:
        world, ends_s = self._world, self._world.now_s + QUIET_S
        while world.observer.runs.now or not world.step_functions.all_ended:
            await self._watch_until(min(ends_s, world.now_s + 4 * LOOK_EVERY_S))
            if world.observer.failed or world.now_s >= ends_s:
                break
        await self._watch_until(world.now_s + SETTLE_S + world.settings.lease_s)
        for execution in world.step_functions.executions:
            world.observer.require(
                bool(execution.ended), Invariant.ENDS, f"{execution} has not ended"
            )
        contents = world.observer.view.all()
        for claim_id, claim in contents.in_flight.items():
            world.observer.require(False, Invariant.ENDS, f"{claim_id} is in flight: {claim}")
        left = [key for key in sorted(contents.keys) if key.split(":")[0] not in KEPT_KEYS]
        world.observer.require(not left, Invariant.ENDS, f"keys are left in the store: {left}")


def run_seed(seed: int, server: StoreServer, *, active_s: float, faults: float) -> Result:
    """Run one seed."""
    began_s, cpu_s = time.perf_counter(), time.process_time()
    server.reset()
    world = World(seed, server, faults=faults)
    asyncio.set_event_loop(world.loop)
    stuck = ""
    playing = Simulation(world, active_s=active_s).run()
    task = world.loop.create_task(playing, context=world.context_of(None))
    with replaced(world):
        try:
            world.loop.run_until_complete(task)
        except Stuck as exc:
            stuck = str(exc)
        except RuntimeError:
            if world.observer.failed is None:
                raise
    failed = world.observer.failed
    result = Result(
        seed=seed,
        hash=world.hash.hexdigest()[:16],
        simulated_s=world.now_s,
        wall_s=time.perf_counter() - began_s,
        cpu_s=time.process_time() - cpu_s,
        executions=len(world.plans),
        faults=sorted(world.faults.kinds),
        invariant=failed.invariant if failed else Invariant.ENDS if stuck else "",
        violation=failed.what if failed else stuck,
        events=list(world.events) if failed or stuck else [],
    )
    world.close()
    return result


def valkey(folder: Path) -> LocalValkey:
    """A server for simulations: what it answers never depends on its own seed of hashes."""
    return LocalValkey(
        options=(
            "--unixsocket",
            str(folder / "valkey.sock"),
            *("--hash-max-listpack-entries", "100000", "--hash-max-listpack-value", "100000"),
            *("--set-max-listpack-entries", "100000", "--set-max-listpack-value", "100000"),
            *("--zset-max-listpack-entries", "100000", "--zset-max-listpack-value", "100000"),
        )
    )
