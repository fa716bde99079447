"""What a poller asks the store for, and how soon it asks again.

A poller asks often while something changes, since what it is granted depends on the whole fleet.
The script that answers is the most expensive one of the store, so changes that can wait share one
request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress

from bridge.loops.open_polls import ActivityPolls
from bridge.store import PollRefusal, Wish

GRANT_INTERVAL_S = 1.0
"""A poller that was refused a poll asks again within this time. A slot that becomes free in this
process wakes it at once; one elsewhere (another poller ends, a worker starts) does not."""
IDLE_INTERVAL_S = 5.0
"""A poller that was refused nothing asks again within this time, or within a third of a lease, if
that is less."""
EMPTIES_APART_S = 0.2
"""Polls that return empty within this time share one request. So do polls that become idle, while
no activity waits for the room that they give back."""
IDLE_TOGETHER_S = 0.02
"""Polls that become idle within this time share one request, however scarce room is."""


def wishes_of(activities: Sequence[ActivityPolls], now: float, *, draining: bool) -> list[Wish]:
    """One wish for each activity, in order; while the poller drains, for no more polls."""
    wishes = []
    for polls in activities:
        polls.age(now)
        polls.window.ask()
        polls.store_counts_idle_as_fresh = False
        wishes.append(
            Wish(
                activity=polls.activity.name,
                queue=polls.activity.queue,
                fresh=polls.fresh,
                want=0 if draining else polls.want(now),
                idle=polls.idle,
                place=polls.place,
            )
        )
    return wishes


def ask_again_s(
    activities: Iterable[ActivityPolls],
    refused: Sequence[PollRefusal],
    now: float,
    *,
    lease_s: float,
) -> float:
    """Seconds until the store is to be asked again, if nothing changes meanwhile.

    That is when a poll becomes idle, when the pause of an activity is over, or after the interval.

    Args:
        refused: What the store refused in its last answer.
        lease_s: How long the store remembers a poller that does not ask.
    """
    scarce = PollRefusal.NO_ROOM in refused or PollRefusal.SHARE in refused
    together_s = IDLE_TOGETHER_S if scarce else EMPTIES_APART_S
    if any(refused):
        due_s = GRANT_INTERVAL_S
    else:
        due_s = max(GRANT_INTERVAL_S, min(IDLE_INTERVAL_S, lease_s / 3))
    for polls in activities:
        idle_at = now if polls.store_counts_idle_as_fresh else polls.idle_at
        due_s = min(due_s, idle_at - now + together_s)
        if polls.paused_until > now:
            due_s = min(due_s, polls.paused_until - now)
    return max(0.0, due_s)


class AskAlarm:
    """Wakes the poller's loop when the store is to be asked. Belongs to one event loop."""

    def __init__(self) -> None:
        self._ringing = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        """Wake the loop now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ringing.set()

    def ring_within(self, seconds: float) -> None:
        """Wake the loop within this time, once for all the calls of this method until then."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = loop.call_at(at, self.ring)

    def reset(self) -> None:
        """Note that the store is being asked."""
        self._ringing.clear()

    async def wait(self, timeout_s: float) -> None:
        """Wait until the store is to be asked, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._ringing.wait()
