"""The simulation's stand-ins for redis-py's clients: a network between the bridge and the store.

A call takes virtual time on its way there and back. The request or the answer may be lost: like
redis-py, the client then sends the command again, so that a script may run several times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import redis

from tests.simulation.clock import sleep
from tests.simulation.process import PROCESS, ProcessKilled
from tests.simulation.store_server import name_of

if TYPE_CHECKING:
    from tests.simulation.world import World

FILL_OUTBOX = frozenset({"settle", "recover", "take_heartbeats"})
"""Scripts that may put something into the outbox, for which a reporter waits."""
TIMEOUT_S = 5.0
REFUSED_AFTER_S = 0.1
"""How long a try takes while connections are refused, with redis-py's pause before the next."""
Steps = Generator[float, None, list[Any]]


class StoreNetwork:
    """Carries commands to the store.

    Attributes:
        away_until_s: Until then the store does not answer.
        refuses: Whether its host refuses connections then; else calls time out.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.away_until_s = 0.0
        self.refuses = False
        self._outcome_waits: list[asyncio.Event] = []

    def carry(self, commands: list[tuple[Any, ...]], *, tries: int, timeout_s: float) -> Steps:
        """Run these commands at one instant; yields the seconds that each step takes."""
        world, faults = self._world, self._world.faults
        for _ in range(tries + 1):
            yield faults.store_latency_s()
            if world.now_s < self.away_until_s:
                yield REFUSED_AFTER_S if self.refuses else timeout_s
                continue
            lost = faults.store_loss()
            if lost != "request":
                answers = [self._run(command) for command in commands]
                yield faults.answer_latency_s()
                if lost != "answer":
                    return answers
            yield timeout_s
        raise redis.exceptions.ConnectionError("the simulated network lost the call")

    def _run(self, command: tuple[Any, ...]) -> Any:
        process = PROCESS.get()
        if process is not None and not process.alive:
            raise ProcessKilled
        name = name_of(command)
        try:
            answer = self._world.server.run(command, self._world.now_s)
        except redis.exceptions.NoScriptError as exc:
            return exc
        if name:
            self._world.observer.script_ran(name, command[3 + command[2] :], answer)
        if name in FILL_OUTBOX:
            waits, self._outcome_waits = self._outcome_waits, []
            for wait in waits:
                wait.set()
        return answer

    async def wait_for_outcome(self, key: str, timeout_s: float) -> Any:
        """What BLPOP answers."""
        ends_s = self._world.now_s + timeout_s
        while True:
            if self._world.now_s < self.away_until_s:
                await asyncio.sleep(REFUSED_AFTER_S if self.refuses else TIMEOUT_S)
                raise redis.exceptions.ConnectionError("the simulated store is away")
            popped = self._world.server.send("LPOP", key)
            if popped is not None:
                return key, popped
            if self._world.now_s >= ends_s:
                return None
            filled = asyncio.Event()
            self._outcome_waits.append(filled)
            try:
                async with asyncio.timeout_at(ends_s):
                    await filled.wait()
            except TimeoutError:
                pass


class BlockingClient:
    """Stands in for ``redis.Redis``, as far as the scripts use it."""

    def __init__(self, network: StoreNetwork, *, tries: int, timeout_s: float) -> None:
        self._network, self._tries, self._timeout_s = network, tries, timeout_s

    def _call(self, *command: Any) -> Any:
        steps = self._network.carry([command], tries=self._tries, timeout_s=self._timeout_s)
        try:
            while True:
                if wait_s := next(steps):
                    sleep(wait_s)
        except StopIteration as done:
            (answer,) = done.value
        if isinstance(answer, Exception):
            raise answer
        return answer

    def evalsha(self, *command: Any) -> Any:
        return self._call("EVALSHA", *command)

    def eval(self, *command: Any) -> Any:
        return self._call("EVAL", *command)

    def close(self) -> None:
        """Nothing is open."""


class AsyncClient:
    """Stands in for ``redis.asyncio.Redis``, as far as the scripts use it."""

    def __init__(self, network: StoreNetwork, *, tries: int) -> None:
        self._network, self._tries = network, tries

    async def call_all(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """The answers of these commands, errors among them."""
        steps = self._network.carry(commands, tries=self._tries, timeout_s=TIMEOUT_S)
        try:
            while True:
                if wait_s := next(steps):
                    await asyncio.sleep(wait_s)
        except StopIteration as done:
            return list(done.value)

    async def _call(self, *command: Any) -> Any:
        (answer,) = await self.call_all([command])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def evalsha(self, *command: Any) -> Any:
        return await self._call("EVALSHA", *command)

    async def eval(self, *command: Any) -> Any:
        return await self._call("EVAL", *command)

    async def blpop(self, keys: list[str], timeout: float) -> Any:
        return await self._network.wait_for_outcome(keys[0], timeout)

    def pipeline(self, *, transaction: bool) -> Pipeline:
        return Pipeline(self)


class Pipeline:
    """Stands in for redis-py's pipelines."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._commands: list[tuple[Any, ...]] = []

    def evalsha(self, *command: Any) -> None:
        self._commands.append(("EVALSHA", *command))

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        return await self._client.call_all(self._commands)
