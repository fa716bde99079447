"""The polls that a poller has open on one activity, and which of them have found its queue empty.

Step Functions answers a poll at once while tasks wait. So a poll is *fresh* for a moment, in which
it may bring a waiting task and counts as one; after that it is *idle* and takes no room. Times are
of the monotonic clock, in seconds.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from bridge.loops.poll_window import Window
from bridge.registry import Activity
from bridge.support.backoff import POLL

IDLE_AFTER_S = 0.5
"""A poll that has been open for so long has found the activity's queue empty. A new connection to a
region on another continent, and its answer, take less time."""
AGAIN_S = 0.5
"""A poll that is opened within this time after an idle one returned is idle, too, because the queue
was empty a moment ago. Without this, the polls of many activities would take room for half a second
each minute."""


@dataclass(slots=True, eq=False)
class OpenPoll:
    """One open poll.

    Attributes:
        idle: It has found the queue empty.
        answered: It has brought a task, which is not stored yet.
    """

    opened_at: float
    idle: bool = False
    answered: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class ActivityPolls:
    """The open polls of one activity.

    Attributes:
        place: Region and account of its calls; empty: the process's own.
        window: How many polls to keep open.
        idle: How many polls found the queue empty.
        failures: How many polls failed in a row.
        turn: Number of its last poll among all of the poller's.
        store_counts_idle_as_fresh: A poll was idle when it was opened, and the store, which granted
            it as a fresh one, has not been told yet.
    """

    activity: Activity
    arn: str
    place: str
    window: Window
    idle: int = 0
    failures: int = 0
    paused_until: float = 0.0
    turn: int = 0
    store_counts_idle_as_fresh: bool = False
    _waiting: dict[OpenPoll, None] = field(default_factory=dict)  # by the time of their opening
    _storing: int = 0
    _newest_answered: float = 0.0  # the latest opening among the polls that found a task
    _found_at: float = 0.0
    _empty_at: float = -math.inf  # when an idle poll returned last

    @property
    def fresh(self) -> int:
        """Polls that may still bring a waiting task, or brought one that is not stored yet."""
        return len(self._waiting) + self._storing

    @property
    def open(self) -> int:
        """All its polls."""
        return self.fresh + self.idle

    @property
    def idle_at(self) -> float:
        """When its oldest fresh poll becomes idle, unless it finds a task; infinite if it has none.

        A poll may hang that was opened before another which has found a task. It does not show that
        the queue is empty, so its time counts from the last task that was found.
        """
        for oldest in self._waiting:
            overtaken = oldest.opened_at < self._newest_answered
            return (self._found_at if overtaken else oldest.opened_at) + IDLE_AFTER_S
        return math.inf

    def want(self, now: float) -> int:
        """How many more polls to open."""
        return 0 if now < self.paused_until else max(0, self.window.size - self.open)

    def add(self, now: float) -> OpenPoll:
        """Note that a poll is opened."""
        poll = OpenPoll(now, idle=now < self._empty_at + AGAIN_S)
        if poll.idle:
            self.idle += 1
            self.store_counts_idle_as_fresh = True
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

    def note_task(self, poll: OpenPoll, now: float) -> None:
        """Note that a poll brought a task."""
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

    def note_empty(self, poll: OpenPoll, now: float) -> None:
        """Note that a poll returned without a task."""
        self.failures = 0
        if poll.idle:
            self._empty_at = now
        self.window.narrow()

    def note_failure(self) -> float:
        """Note that a poll failed; seconds until the next poll."""
        self.failures += 1
        self.window.halve()
        pause_s = POLL.pause_s(self.failures)
        self.pause(pause_s)
        return pause_s

    def remove(self, poll: OpenPoll) -> None:
        """Note that a poll is over, and that what it brought is stored."""
        if poll.answered:
            self._storing -= 1
            if not poll.idle:  # its time says how long no task came, not how long a poll takes
                self.window.found(poll.opened_at)
        elif poll.idle:
            self.idle -= 1
        else:
            del self._waiting[poll]

    def pause(self, seconds: float) -> None:
        """Open no poll for some seconds."""
        self.paused_until = max(self.paused_until, time.monotonic() + seconds)
