"""Do together what several callers ask for at the same time, to share round trips and threads."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Gap:
    """Keeps a least time between the beginnings of two steps.

    Args:
        apart_s: That time, in seconds.
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
        """Note that a step begins."""
        self._next = time.monotonic() + self._apart_s


class Batcher(Generic[T, R]):
    """Does one batch at a time; requests that arrive meanwhile make the next batch.

    After a batch of several requests the next one waits a moment, so that it grows. A caller that
    is alone, and makes one request after the other, never waits. Belongs to the event loop that
    first uses it.

    Args:
        work: Does a batch. It returns an answer for each request, or an exception that the caller
            of that request gets. Every caller gets an exception that it raises.
        most: Requests in a batch, at most: no answer waits for many others.
        apart_s: The least time between the beginnings of a batch of several and of the next.
        always: Keep that time after a batch of one, too.
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
        """Do a request with the next batch and return its answer."""
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
        except Exception as exc:  # noqa: BLE001 (raised where it is awaited)
            answers = [exc] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # the caller was cancelled
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
