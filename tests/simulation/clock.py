"""Virtual time: an event loop that jumps to its next timer, and threads that are greenlets of it.

Nothing here waits. While something is ready the loop runs it; when nothing is, the clock jumps to
the next timer. What a real process does in a thread runs in a greenlet, which switches to the loop
where a thread would block. All of it is one thread of the interpreter, so that the order of events
depends on the seed alone.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import selectors
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

import greenlet

from tests.simulation.process import PROCESS, ProcessKilled

MAX_STEPS_AT_ONCE = 200_000
"""Steps of the loop at one instant; more of them are a loop that never waits."""


class Stuck(AssertionError):
    """Nothing is ready and no timer is set, or the clock stands still."""


class _Jump(selectors.SelectSelector):
    """Selects nothing; moves the clock by the time that the loop would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self._steps = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is ready, and no timer is set")
        self._steps = 0 if timeout > 0 else self._steps + 1
        if self._steps > MAX_STEPS_AT_ONCE:
            raise Stuck(f"the clock has stood at {self.now_s:.3f} s for {self._steps:,} steps")
        self.now_s += max(0.0, timeout)
        return []


def _run(handle: asyncio.Handle, run: Callable[[], None]) -> None:
    """Run a handle: later if its process is frozen, and never if it is dead."""
    process = handle._context.get(PROCESS)  # type: ignore[attr-defined]
    if process is None or process.runs:
        run()
    elif process.alive:
        process.held.append(handle)


class _Handle(asyncio.Handle):
    __slots__ = ()

    def _run(self) -> None:
        _run(self, super()._run)


class _TimerHandle(asyncio.TimerHandle):
    __slots__ = ()

    def _run(self) -> None:
        _run(self, super()._run)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, which begins at 0.

    Attributes:
        hub: The greenlet that runs the loop.
    """

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self.hub = greenlet.getcurrent()
        self._tasks: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._keep)

    def time(self) -> float:
        return self._jump.now_s

    def _keep(self, loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        """Make a task. One of a dead process is never run again, so it must not be collected."""
        task = asyncio.Task(coroutine, loop=loop, **options)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._tasks.append(task)
        if len(self._tasks) > 20_000:
            self._tasks = [each for each in self._tasks if not each.done()]
        return task

    def _call_soon(self, callback: Any, args: Any, context: Any) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        timer = _TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def go_on(self, handles: list[asyncio.Handle]) -> None:
        """Run what was held while its process was frozen."""
        self._ready.extend(handles)  # type: ignore[attr-defined]
        handles.clear()

    def run_in_executor(self, executor: Any, function: Callable[..., Any], *args: Any) -> Any:
        """Run a blocking function in a greenlet in place of an executor's thread."""
        answer = self.create_future()

        def work() -> None:
            try:
                result = function(*args)
            except Exception as exc:  # noqa: BLE001 (the caller gets it)
                if not answer.done():
                    answer.set_exception(exc)
            else:
                if not answer.done():
                    answer.set_result(result)

        Thread(target=work).start()
        return answer


def the_loop() -> VirtualLoop:
    """The loop that runs."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


class Waiter:
    """One wait of a greenlet: it goes on when woken, or when its time is over."""

    def __init__(self) -> None:
        self._loop = the_loop()
        self._me = greenlet.getcurrent()
        assert self._me is not self._loop.hub, "only greenlets may block"
        self._woken = False
        self._context = contextvars.copy_context()

    def wait(self, timeout_s: float | None) -> bool:
        """Whether it was woken; False once the time is over."""
        timer = None
        if timeout_s is not None:
            timer = self._loop.call_later(timeout_s, self._go_on, False, context=self._context)
        woken = self._loop.hub.switch()
        if timer is not None:
            timer.cancel()
        process = PROCESS.get()
        if process is not None and not process.alive:
            raise ProcessKilled
        return bool(woken)

    def wake(self) -> None:
        """Let the greenlet go on."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._me.switch, True, context=self._context)

    def _go_on(self, woken: bool) -> None:
        if not self._woken:
            self._woken = True
            self._me.switch(woken)


def sleep(seconds: float) -> None:
    """Block this greenlet, as ``time.sleep`` blocks a thread."""
    Waiter().wait(max(0.0, seconds))


class Event:
    """``threading.Event`` for greenlets."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiters: list[Waiter] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.wake()

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        if self._is_set:
            return True
        waiter = Waiter()
        self._waiters.append(waiter)
        woken = waiter.wait(timeout)
        if not woken and waiter in self._waiters:
            self._waiters.remove(waiter)
        return woken or self._is_set


class Queue:
    """``queue.Queue`` and ``queue.SimpleQueue`` for greenlets."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._filled = Event()

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._filled.set()

    def get(self) -> Any:
        while not self._items:
            self._filled.clear()
            self._filled.wait()
        return self._items.popleft()


class Thread:
    """``threading.Thread`` as a greenlet of the process that starts it."""

    _kept: ClassVar[list[Thread]] = []
    """A dead process's greenlets are never run again; collected, they would unwind."""

    def __init__(
        self, *, target: Callable[..., Any], args: tuple[Any, ...] = (), **options: Any
    ) -> None:
        self._target, self._args = target, args
        self._ended = Event()

    def start(self) -> None:
        context = contextvars.copy_context()
        loop = the_loop()
        self._greenlet = greenlet.greenlet(self._run, parent=loop.hub)
        self._greenlet.gr_context = context
        Thread._kept.append(self)
        if len(Thread._kept) > 20_000:
            Thread._kept = [each for each in Thread._kept if not each._greenlet.dead]
        loop.call_soon(self._greenlet.switch, context=context)

    def _run(self) -> None:
        with suppress(ProcessKilled):
            self._target(*self._args)
        self._ended.set()

    def is_alive(self) -> bool:
        return not self._greenlet.dead

    def join(self, timeout: float | None = None) -> None:
        if not self._greenlet.dead:
            self._ended.wait(timeout)


def wait_for(coroutine: Any) -> Any:
    """Run a coroutine on the loop and block this greenlet until its end."""
    done = Event()
    task = the_loop().create_task(coroutine)
    task.add_done_callback(lambda _: done.set())
    done.wait()
    return task.result()


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Run a blocking function in a greenlet; its answer."""
    return await the_loop().run_in_executor(None, function, *args)
