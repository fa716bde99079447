"""Log when no worker serves a queue, and when one does again.

A poller asks for polls many times a second, so each change is logged once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from bridge.store import PollRefusal, Wish

logger = logging.getLogger(__name__)

LOG_SLOTS_EVERY_S = 10.0
"""A fleet that grows by many workers is not logged slot by slot."""
MAX_NAMED = 5


class GrantLog:
    """What one poller has logged about the workers."""

    def __init__(self) -> None:
        self._unserved: set[str] = set()
        self._slots: int | None = None
        self._slots_logged_at = float("-inf")

    def note(self, wishes: Sequence[Wish], slots: int, refused: Sequence[PollRefusal]) -> None:
        """Log what has changed with a grant.

        Args:
            wishes: What the poller asked for.
            slots: Slots of the workers, from the grant.
            refused: For each wish, why it was not granted in full.
        """
        self._note_slots(slots)
        unserved: set[str] = set()
        served: set[str] = set()
        for wish, why in zip(wishes, refused, strict=True):
            if why is PollRefusal.NO_WORKER:
                unserved.add(wish.queue)
            elif wish.want and why is not PollRefusal.THROTTLED:
                # A wish for no poll shows nothing of the workers. Neither does one that is
                # throttled, because the store checks that first.
                served.add(wish.queue)
        for queue in sorted(unserved - self._unserved):
            logger.warning(
                "no worker serves queue %r: nothing is claimed for %s until one does",
                queue,
                _names(wishes, queue),
            )
        for queue in sorted(served & self._unserved):
            logger.info("workers serve queue %r: %s can be claimed", queue, _names(wishes, queue))
        self._unserved = (self._unserved | unserved) - served

    def _note_slots(self, slots: int) -> None:
        now = time.monotonic()
        if not slots or slots == self._slots or now - self._slots_logged_at < LOG_SLOTS_EVERY_S:
            return
        self._slots, self._slots_logged_at = slots, now
        logger.info("workers offer %d slots", slots)


def _names(wishes: Sequence[Wish], queue: str) -> str:
    """The names of a queue's activities; of many, the first few and a count."""
    activities = [wish.activity for wish in wishes if wish.queue == queue]
    more = len(activities) - MAX_NAMED
    named = ", ".join(activities[:MAX_NAMED])
    return f"{named} and {more} more" if more > 0 else named
