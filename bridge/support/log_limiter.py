"""Log a warning that repeats, such as one of an outage, only once in a while."""

from __future__ import annotations

import logging
import threading
import time


class LogLimiter:
    """Lets one warning of each kind pass in an interval; safe to use from several threads.

    Args:
        logger: Where ``warning`` logs.
        every_s: The interval, in seconds.

    Attributes:
        left_out: How many warnings did not pass between the last two that did.
    """

    def __init__(self, logger: logging.Logger, *, every_s: float = 60.0) -> None:
        self.left_out = 0
        self._logger = logger
        self._every_s = every_s
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}
        self._left_out = 0

    def passes(self, kind: str = "") -> bool:
        """Whether to log a warning of this kind now: none has passed within the interval."""
        now = time.monotonic()
        with self._lock:
            self._until = {key: until for key, until in self._until.items() if until > now}
            if kind in self._until:
                self._left_out += 1
                return False
            self._until[kind] = now + self._every_s
            self.left_out, self._left_out = self._left_out, 0
        return True

    def warning(self, reason: BaseException, text: str, *args: object) -> None:
        """Log it, unless one with the same kind of error has passed within the interval."""
        if self.passes(f"{type(reason).__name__}: {str(reason)[:60]}"):
            self._logger.warning(text, *args)
