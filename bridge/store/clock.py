"""Watch Redis' clock: a jump of it must end no lease, no patience and no token.

How much time has really passed only a process knows that has looked before and after: by its own
monotonic clock. Hosts' clocks are never compared.
"""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

from bridge.settings import Settings
from bridge.store.scripts import AsyncScripts, ms

logger = logging.getLogger(__name__)

TOLERANCE_MS = 1_000
"""A difference below this is no jump: NTP slews, and processes are paused."""


class _Look(NamedTuple):
    """What a process saw.

    Attributes:
        redis_ms: Redis' clock.
        sent_s: This process's monotonic clock before it asked.
        received_s: And when it had the answer.
    """

    redis_ms: int
    sent_s: float
    received_s: float


class ClockWatch:
    """One process's looks at the clock; to be called once a tick. Belongs to one event loop."""

    def __init__(self, scripts: AsyncScripts, settings: Settings) -> None:
        self._scripts = scripts
        self._tick_s = settings.tick_s
        # Workers note the time with their leases, every third of one. A smaller jump ends none.
        self._slack_ms = ms(max(settings.lease_s / 2, 4 * settings.tick_s))
        self._last: _Look | None = None

    async def look(self) -> None:
        """Note Redis' time; where it is in doubt, say whether the clock has jumped.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        sent_s = time.monotonic()
        if self._last is not None and sent_s - self._last.sent_s < self._tick_s / 2:
            return
        redis_ms, doubted_ms = await self._scripts.call("watch_clock", self._slack_ms)
        look = _Look(redis_ms, sent_s, time.monotonic())
        if doubted_ms >= 0:
            jump_ms = _jump_ms(self._last, look)
            if redis_ms < doubted_ms:  # clocks do not run backwards
                jump_ms = min(jump_ms, redis_ms - doubted_ms)
            if await self._scripts.call("set_clock", doubted_ms, jump_ms) and jump_ms:
                logger.warning(
                    "the clock of Redis has jumped by %+.1f s: leases, heartbeats and deadlines go "
                    "on as if it had not",
                    jump_ms / 1000,
                )
        self._last = look


def _jump_ms(before: _Look | None, after: _Look) -> int:
    """By how much Redis' clock moved more, or less, than time has passed between two looks."""
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
