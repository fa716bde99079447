"""What is asked for at once is done at once: loops share round trips and threads so."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Gap:
    """Lets steps follow each other no faster than so; one after a pause goes at once.

    Args:
        apart_s: From the begin of one step to that of the next, at least.
    """

    def __init__(self, apart_s: float) -> None:
        self._apart_s = apart_s
        self._next = 0.0

    @property
    def left_s(self) -> float:
        """Seconds until the next step may begin; 0: it may."""
        return max(0.0, self._next - time.monotonic())

    async def over(self) -> None:
        """Wait until the next step may begin."""
        if wait_s := self.left_s:
            await asyncio.sleep(wait_s)

    def begin(self) -> None:
        """A step begins."""
        self._next = time.monotonic() + self._apart_s


class Batcher(Generic[T, R]):
    """Does one batch at a time; what comes meanwhile makes the next.

    While several come at once, batches keep a distance, and grow by it; who asks alone for one
    thing after the other never waits. Belongs to the event loop that first uses it.

    Args:
        work: Does a batch; an answer for each, or an exception that its asker gets. An exception
            that it raises is everybody's.
        most: Of a batch: no answer waits for many others.
        apart_s: From the begin of a batch of several to that of the next, at least.
        always: Keep that distance after a batch of one, too.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        most: int,
        apart_s: float = 0.0,
        always: bool = False,
    ) -> None:
        self._work = work
        self._always = always
        self._most = most
        self._gap = Gap(apart_s)
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._working: asyncio.Task[None] | None = None

    async def __call__(self, asked: T) -> R:
        """Have it done with the next batch; its answer."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._working is None:
            self._working = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        try:
            while self._waiting:
                await self._gap.over()
                size = min(self._most, len(self._waiting))
                batch = [self._waiting.popleft() for _ in range(size)]
                if self._always or size > 1:
                    self._gap.begin()
                await self._do(batch)
        finally:
            self._working = None
            for _, answer in (*batch, *self._waiting):  # none, unless this task was cancelled
                answer.cancel()
            self._waiting.clear()

    async def _do(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        answers: Sequence[R | Exception]
        try:
            answers = await self._work([asked for asked, _ in batch])
        except Exception as exc:  # noqa: BLE001 (handed over to who awaits)
            answers = [exc] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # who asked has given up
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
