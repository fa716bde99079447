"""How often, and how far apart, a call is tried again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Uniform = Callable[[float, float], float]
"""``random.uniform``, or a test's stand-in."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with full jitter: the n-th pause lasts ``0…min(cap, base·2^(n-1))``.

    Full jitter, because those who were throttled together must not come back together.

    Attributes:
        attempts: Requests, at most; 1 never retries.
        base_s: Ceiling of the first pause.
        cap_s: Ceiling of every pause.
        within_s: The whole call ends within this time, whatever is left of the attempts; only a
            wait for credentials comes on top.
    """

    attempts: int
    base_s: float
    cap_s: float
    within_s: float = math.inf

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 <= self.base_s <= self.cap_s or self.within_s <= 0:
            raise ValueError(f"impossible: {self!r}")

    def pause_s(self, attempt: int, uniform: Uniform) -> float:
        """Seconds to wait after the ``attempt``-th request, counted from 1."""
        return uniform(0.0, min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 60)))
