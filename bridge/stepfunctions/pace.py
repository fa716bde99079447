"""Order calls while Step Functions throttles: reports first, then heartbeats, then polls.

No call waits until the first answer says "throttled". From then on calls are sent one by one, the
most important first, at a rate that falls with each such answer and rises slowly without. So a
heartbeat never waits for a poll, nor a report for either.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum

WINDOW_S = 1.0
"""The rate that Step Functions takes is measured over this time."""
BACK_OFF = 0.8
GROWTH_PER_S = 0.25
"""The rate rises by this part of itself each second. At first, until the second refusal, it doubles
each second: few calls may have been sent before the first refusal."""
FORGET_S = 60.0
"""Calls wait no longer once none has been throttled for this time."""
RECENTLY_S = 2.0
MIN_RATE = 1.0


class Priority(IntEnum):
    """The lowest number is sent first."""

    REPORT = 0
    HEARTBEAT = 1
    POLL = 2


@dataclass(order=True, slots=True)
class _Waiter:
    priority: Priority
    urgency: float
    number: int
    turn: asyncio.Future[None] = field(compare=False)


class Pace:
    """The calls of one process. Belongs to the event loop that first uses it."""

    def __init__(self) -> None:
        self._rate: float | None = None  # calls a second; None: unlimited
        self._growth = 1.0
        self._throttled_at = float("-inf")
        self._grown_at = 0.0
        self._next_at = 0.0
        self._taken: deque[float] = deque()
        self._waiting: list[_Waiter] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def rate(self) -> float | None:
        """Calls a second that may be sent now; None: no limit."""
        return self._rate

    @property
    def throttled_recently(self) -> bool:
        """Whether Step Functions refused a call as throttled within the last two seconds."""
        return _now() - self._throttled_at < RECENTLY_S

    async def turn(self, priority: Priority, urgency: float = 0.0) -> None:
        """Wait until it is this call's turn.

        Args:
            priority: The kind of call.
            urgency: Among calls of one kind, the least is sent first.
        """
        if self._rate is None:
            return
        waiter = _Waiter(priority, urgency, next(self._numbers), asyncio.Future())
        heapq.heappush(self._waiting, waiter)
        self._let_go()
        await waiter.turn

    def taken(self) -> None:
        """Step Functions took a call."""
        now = _now()
        self._taken.append(now)
        while self._taken[0] < now - WINDOW_S:
            self._taken.popleft()

    def throttled(self) -> None:
        """Step Functions refused a call: too many of them."""
        now = _now()
        if self._rate is None:
            self._rate = max(MIN_RATE, len(self._taken) / WINDOW_S)
            self._next_at, self._growth = now, 1.0
        elif now - self._throttled_at > WINDOW_S / 2:  # calls that left together count once
            self._rate = max(MIN_RATE, self._rate * BACK_OFF)
            self._growth = GROWTH_PER_S
        self._throttled_at = self._grown_at = now

    def _let_go(self) -> None:
        """Wake the calls whose turn has come, and set a timer for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = _now()
        self._grow(now)
        while self._waiting and (self._rate is None or self._next_at <= now):
            waiter = heapq.heappop(self._waiting)
            if waiter.turn.done():  # cancelled while it waited
                continue
            waiter.turn.set_result(None)
            if self._rate is not None:
                self._next_at = max(self._next_at, now - WINDOW_S / 10) + 1 / self._rate
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_at(self._next_at, self._let_go)

    def _grow(self, now: float) -> None:
        if self._rate is None:
            return
        if now - self._throttled_at > FORGET_S:
            self._rate = None
            return
        self._rate *= (1 + self._growth) ** (now - self._grown_at)
        self._grown_at = now


def _now() -> float:
    return asyncio.get_running_loop().time()
