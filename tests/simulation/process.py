"""A simulated process: its code stops when it is killed, and pauses while it is frozen."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any


class ProcessKilled(BaseException):
    """Ends what a killed process was doing; nothing of the bridge catches it."""


class Process:
    """One process, or one child of a pool.

    Attributes:
        name: In the trace.
        alive: False once it was killed or has ended.
        frozen: While it is stopped, as by SIGSTOP, or its host is paused.
        held: What waits until it is no longer frozen.
        died_at_s: When it ended; None while it lives.
    """

    def __init__(self, name: str, *, parent: Process | None = None) -> None:
        self.name = name
        self.parent = parent
        self.frozen = False
        self.held: list[asyncio.Handle] = []
        self.died_at_s: float | None = None
        self._alive = True
        self.children: list[Process] = []
        if parent is not None:
            parent.children.append(self)

    @property
    def alive(self) -> bool:
        return self._alive and (self.parent is None or self.parent.alive)

    @property
    def runs(self) -> bool:
        """Whether it does anything now."""
        return self.alive and not self.frozen and (self.parent is None or self.parent.runs)

    @property
    def worker(self) -> Any:
        """The process whose lease counts: a child's parent."""
        return self.parent or self

    def end(self, now_s: float) -> None:
        """From now on it does nothing any more."""
        self._alive = False
        self.died_at_s = now_s if self.died_at_s is None else self.died_at_s
        self.held.clear()


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
"""Whose code runs; asyncio tasks and greenlets inherit it. None: the world's own."""
