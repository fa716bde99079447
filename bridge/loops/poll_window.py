"""The polls that one activity has open: which found its queue empty, and how many it would have."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from bridge.registry import Activity

IDLE_AFTER_S = 0.5
"""Step Functions answers a poll at once while tasks wait: one that has been open for so long has
found the activity's queue empty, and takes no slot any more. Longer than a new connection and an
answer of another continent's region take."""
AGAIN_S = 0.5
"""A poll that is opened within this time after an idle one returned is idle, too: a moment ago the
queue was empty. Else the polls of many activities would take room, half a second each minute."""
SPARE = 1.5
"""Polls that a window has for each one that is needed. Above 1, for all that there are may be
needed, and only more of them can show that more are."""
MIN_TASKS = 3
MEASURED_S = 1.0
"""A window is set anew when it has brought a task a poll, at least MIN_TASKS, or after so long."""
SLOWEST = 6.0
"""A poll that takes longer than so many times the quickest one waits for a task to come. With a
smaller number the windows of a busy poller stay so narrow that its tasks share few round trips: at
3, a task took a quarter more CPU with 64 threads."""
FORGOTTEN_PER_S = 0.1
"""By this part of itself the quickest rises each second: Step Functions or this machine may become
slower."""


class Window:
    """How many polls an activity would have open: those that it needs, and half as many again.

    By Little's law it needs as many as the tasks that it finds in a second × the seconds that a
    poll is busy with one: from its opening until the ask after its task was stored, with which the
    next poll may be opened. Where tasks wait in Step Functions all polls are busy, and the window
    grows by half again and again; where free slots are what is scarce, it falls to what those take.
    A window that is too wide would leave idle polls behind, each of which takes room from the other
    activities for up to a minute.

    Args:
        most: It never grows beyond.

    Attributes:
        size: Polls.
    """

    __slots__ = ("_asked", "_busy_s", "_found", "_most", "_quickest_s", "_since", "_tasks", "size")

    def __init__(self, most: int) -> None:
        self._most = most
        self._quickest_s = math.inf
        self.narrow()

    def narrow(self) -> None:
        """The queue is empty: begin again with one poll."""
        self.size = 1
        self._restart()

    def halve(self) -> None:
        """Polls fail."""
        self.size = max(1, self.size // 2)
        self._restart()

    def _restart(self) -> None:
        self._since: float | None = None
        self._tasks, self._busy_s = 0, 0.0  # since then
        # Polls that found a task, and the sum of the times at which they were opened: since the
        # last ask, and before it.
        self._found = self._asked = (0, 0.0)

    def found(self, opened_at: float) -> None:
        """A poll that was opened then has found a task that waited, and the task is stored."""
        count, opened = self._found
        self._found = count + 1, opened + opened_at

    def ask(self) -> None:
        """The store is asked for polls in the place of those that found a task."""
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


@dataclass(slots=True, eq=False)
class Poll:
    """One open poll.

    Attributes:
        idle: It has found the queue empty.
        answered: It has brought a task, which is not stored yet.
    """

    opened_at: float
    idle: bool = False
    answered: bool = False


@dataclass(slots=True, eq=False)
class Lane:
    """The polls of one activity. Times are of the monotonic clock, in seconds.

    Attributes:
        place: Region and account of its calls; empty: the process's own.
        idle: Its polls that found the queue empty.
        turn: Number of its last poll among all of the poller's.
        untold: The store takes one of its idle polls for a fresh one.
    """

    activity: Activity
    arn: str
    place: str
    window: Window
    idle: int = 0
    failures: int = 0
    paused_until: float = 0.0
    turn: int = 0
    untold: bool = False
    _waiting: dict[Poll, None] = field(default_factory=dict)  # by the time of their opening
    _storing: int = 0
    _newest_answered: float = 0.0  # when the last opened one of those that found a task was opened
    _found_at: float = 0.0
    _empty_at: float = -math.inf  # when an idle poll returned last

    @property
    def fresh(self) -> int:
        """Its polls that may still bring a waiting task, or brought one that is not stored yet."""
        return len(self._waiting) + self._storing

    @property
    def open(self) -> int:
        """Its polls."""
        return self.fresh + self.idle

    @property
    def idle_at(self) -> float:
        """When its oldest fresh poll becomes idle, unless it finds a task; infinite: it has none.

        A poll that later ones overtook may hang: it says nothing of the queue while those find
        tasks.
        """
        for oldest in self._waiting:
            overtaken = oldest.opened_at < self._newest_answered
            return (self._found_at if overtaken else oldest.opened_at) + IDLE_AFTER_S
        return math.inf

    def want(self, now: float) -> int:
        """How many more polls it would open."""
        return 0 if now < self.paused_until else max(0, self.window.size - self.open)

    def opens(self, now: float) -> Poll:
        """A poll is opened."""
        poll = Poll(now, idle=now < self._empty_at + AGAIN_S)
        if poll.idle:
            self.idle += 1
            self.untold = True
            self._empty_at = -math.inf
        else:
            self._waiting[poll] = None
        return poll

    def age(self, now: float) -> None:
        """Note which polls have become idle."""
        while self.idle_at <= now:
            poll = next(iter(self._waiting))
            del self._waiting[poll]
            poll.idle = True
            self.idle += 1
            self.window.narrow()

    def found(self, poll: Poll, now: float) -> None:
        """A poll brought a task."""
        self.age(now)
        self.failures = 0
        self._found_at = now
        if poll.idle:
            self.idle -= 1
        else:
            del self._waiting[poll]
            self._newest_answered = max(self._newest_answered, poll.opened_at)
        poll.answered = True
        self._storing += 1

    def found_none(self, poll: Poll, now: float) -> None:
        """A poll returned empty."""
        self.failures = 0
        if poll.idle:
            self._empty_at = now
        self.window.narrow()

    def closes(self, poll: Poll) -> None:
        """A poll is over, and what it brought is stored."""
        if poll.answered:
            self._storing -= 1
            if not poll.idle:  # that would say how long no task came, not how long a poll takes
                self.window.found(poll.opened_at)
        elif poll.idle:
            self.idle -= 1
        else:
            del self._waiting[poll]

    def pause(self, seconds: float) -> None:
        """Open no poll for some seconds."""
        self.paused_until = max(self.paused_until, time.monotonic() + seconds)
