"""How many polls one activity has open: few, and more while they bring tasks."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bridge.registry import Activity

HITS_PER_POLL = 8
"""Tasks that each poll of a window brings before the window grows by one."""


@dataclass(slots=True, eq=False)
class Lane:
    """The polls of one activity.

    A poll that finds a task is answered at once and opened again, so few of them fetch many tasks;
    a poll that finds none keeps a slot from the other activities for up to a minute. So the window
    grows slowly, and only while tasks come.

    Attributes:
        place: Region and account of its calls; empty: the process's own.
        window: Polls that it would have open.
        hits: Tasks since the window last changed.
        renewable_until: A poll that comes home empty may be opened again without asking the store:
            when it was asked last, nobody was known to want its slot.
    """

    activity: Activity
    arn: str
    place: str
    window: int = 1
    hits: int = 0
    open: int = 0
    failures: int = 0
    paused_until: float = 0.0
    renewable_until: float = 0.0
    turn: int = 0

    def want(self, now: float) -> int:
        """How many more polls it would open."""
        return 0 if now < self.paused_until else max(0, self.window - self.open)

    def renewable(self, now: float) -> bool:
        """Whether its only poll, which came home empty, may be opened again at once."""
        return self.open == 1 and self.paused_until <= now < self.renewable_until

    def found(self, most: int) -> None:
        """A poll brought a task."""
        self.failures = 0
        self.hits += 1
        if self.hits >= HITS_PER_POLL * self.window:
            self.window, self.hits = min(self.window + 1, most), 0

    def found_none(self) -> None:
        """A poll came home empty."""
        self.failures = 0
        self.shrink()

    def shrink(self) -> None:
        """A poll brought nothing."""
        self.window, self.hits = max(1, self.window // 2), 0

    def pause(self, seconds: float) -> None:
        """Open no poll for some seconds."""
        self.paused_until = max(self.paused_until, time.monotonic() + seconds)
