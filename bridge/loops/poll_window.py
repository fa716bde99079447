"""How many polls of one activity a poller keeps open at once."""

from __future__ import annotations

import math

SPARE = 1.5
"""Polls that a window has for each one that is needed. It is above 1, because when all open polls
are needed, only a further one can show that more are needed."""
MIN_TASKS = 3
MEASURED_S = 1.0
"""The size is set anew after this time, or as soon as each poll has brought a task and at least
MIN_TASKS have come."""
SLOWEST = 6.0
"""A poll that takes longer than this many times the quickest one has waited for a task to come.
With a smaller number the windows of a busy poller stay so narrow that its tasks share few round
trips: at 3, a task took a quarter more CPU with 64 threads."""
FORGOTTEN_PER_S = 0.1
"""The time of the quickest poll rises by this part of itself each second, because Step Functions or
this machine may become slower."""


class Window:
    """The number of polls that an activity needs, and half as many again.

    By Little's law it needs (tasks found in a second × seconds that a poll is busy with one task)
    polls. A poll is busy from its opening until its task is stored and the store is then asked for
    the poll that follows it. While tasks wait in Step Functions, all polls are busy, and the window
    grows by half again and again. While free slots are scarce, it shrinks to as many polls as those
    slots need. A window that is too wide would leave idle polls open, each of which takes room
    from the other activities for up to a minute.

    Args:
        most: The size never exceeds this.

    Attributes:
        size: How many polls to keep open.
    """

    __slots__ = ("_asked", "_busy_s", "_found", "_most", "_quickest_s", "_since", "_tasks", "size")

    def __init__(self, most: int) -> None:
        self._most = most
        self._quickest_s = math.inf
        self.narrow()

    def narrow(self) -> None:
        """Begin again with one poll: the queue is empty."""
        self.size = 1
        self._restart()

    def halve(self) -> None:
        """Keep half as many polls open: polls fail."""
        self.size = max(1, self.size // 2)
        self._restart()

    def _restart(self) -> None:
        self._since: float | None = None
        self._tasks, self._busy_s = 0, 0.0  # since then
        # Polls that found a task, and the sum of the times at which they were opened: since the
        # store was asked last, and before that.
        self._found = self._asked = (0, 0.0)

    def found(self, opened_at: float) -> None:
        """Note that a poll opened at this time found a task that waited, and that it is stored."""
        count, opened = self._found
        self._found = count + 1, opened + opened_at

    def ask(self) -> None:
        """Note that the store is asked for polls that replace those which found a task."""
        self._found, self._asked = (0, 0.0), self._found

    def measure(self, now: float) -> None:
        """The store has answered: set the size anew, if enough is known."""
        count, opened = self._asked
        if count:
            self._asked = 0, 0.0
            took_s = now - opened / count
            self._quickest_s = min(took_s, self._quickest_s)
            if self._since is None:
                self._since = now - took_s
            self._busy_s += count * min(took_s, SLOWEST * self._quickest_s)
            self._tasks += count
        if self._since is None:
            return
        passed_s = max(now - self._since, 0.001)
        if self._tasks >= max(self.size, MIN_TASKS) or passed_s > MEASURED_S:
            needed = self._busy_s / passed_s
            self.size = max(1, min(math.ceil(SPARE * needed), self._most))
            self._quickest_s *= 1 + FORGOTTEN_PER_S * passed_s
            self._since = now if self._tasks else None
            self._tasks, self._busy_s = 0, 0.0
