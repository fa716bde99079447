"""Calculate medians, spreads, percentiles, and ratios within rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def spread(values: Sequence[float], digits: int = 3) -> dict[str, Any]:
    """Median, minimum, maximum, and all values."""
    return {
        "median": round(median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
        "values": [round(value, digits) for value in values],
    }


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Spread of each round's ratio: what slows the machine during a round slows both."""
    return spread([mine / other for mine, other in zip(ours, theirs, strict=True)])


def latencies(values: Sequence[float]) -> dict[str, Any]:
    """p50 and p99 in milliseconds, of values in seconds, and the number of samples."""
    return {
        "p50_ms": round(1000 * percentile(values, 50), 3),
        "p99_ms": round(1000 * percentile(values, 99), 3),
        "samples": len(values),
    }
