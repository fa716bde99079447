"""Watch Redis' clock, so that a jump of it ends no lease, no patience and no token.

A process that reads Redis' clock twice knows from its own monotonic clock how much time has passed
between. Hosts' clocks are never compared.
"""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

from bridge.settings import Settings
from bridge.store.scripts import AsyncScripts, ms

logger = logging.getLogger(__name__)

TOLERANCE_MS = 1_000
"""A smaller difference is not taken for a jump: NTP slews clocks, and a process may be paused
between two readings."""


class _Reading(NamedTuple):
    """One reading of Redis' clock.

    Attributes:
        redis_ms: Redis' clock.
        sent_s: This process's monotonic clock before the call.
        received_s: This process's monotonic clock after the call.
    """

    redis_ms: int
    sent_s: float
    received_s: float


class ClockWatch:
    """Reads the clock once in each tick interval, for one process. Belongs to one event loop."""

    def __init__(self, scripts: AsyncScripts, settings: Settings) -> None:
        self._scripts = scripts
        self._tick_s = settings.tick_s
        # How far two notes of the time may be apart. Workers note it whenever they renew their
        # leases, every third of a lease. A jump of less than half a lease may go unnoticed, but it
        # ends no lease.
        self._slack_ms = ms(max(settings.lease_s / 2, 4 * settings.tick_s))
        self._last: _Reading | None = None

    async def look(self) -> None:
        """Note Redis' time; where it is in doubt, tell the store whether the clock has jumped.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        sent_s = time.monotonic()
        if self._last is not None and sent_s - self._last.sent_s < self._tick_s / 2:
            return
        redis_ms, doubted_ms = await self._scripts.call("watch_clock", self._slack_ms)
        reading = _Reading(redis_ms, sent_s, time.monotonic())
        if doubted_ms >= 0:
            jump_ms = _jump_ms(self._last, reading)
            # Redis' clock is behind the last noted time: it was set back, whatever this process
            # has measured.
            if redis_ms < doubted_ms:
                jump_ms = min(jump_ms, redis_ms - doubted_ms)
            if await self._scripts.call("set_clock", doubted_ms, jump_ms) and jump_ms:
                logger.warning(
                    "the clock of Redis has jumped by %+.1f s: leases, heartbeats and deadlines go "
                    "on as if it had not",
                    jump_ms / 1000,
                )
        self._last = reading


def _jump_ms(before: _Reading | None, after: _Reading) -> int:
    """How much further Redis' clock moved than time passed between two readings."""
    if before is None:
        return 0
    moved_ms = after.redis_ms - before.redis_ms
    least_ms = ms(after.sent_s - before.received_s)
    most_ms = ms(after.received_s - before.sent_s)
    if moved_ms > most_ms + TOLERANCE_MS:
        return moved_ms - most_ms
    if moved_ms < least_ms - TOLERANCE_MS:
        return moved_ms - least_ms
    return 0
