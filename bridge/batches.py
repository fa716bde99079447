"""What is asked for at once is done at once: loops share round trips and threads so."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Does one batch at a time; what comes meanwhile makes the next. Nothing waits for company.

    Belongs to the event loop that first uses it.

    Args:
        work: Does a batch; an answer for each, or an exception that its asker gets. An exception
            that it raises is everybody's.
        most: Of a batch: no answer waits for many others.
    """

    def __init__(
        self, work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]], *, most: int
    ) -> None:
        self._work = work
        self._most = most
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
                size = min(self._most, len(self._waiting))
                batch = [self._waiting.popleft() for _ in range(size)]
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
