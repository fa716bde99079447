"""Medians, spreads and percentiles; pairs are compared before they are summed up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def spread(values: Sequence[float], digits: int = 3) -> dict[str, Any]:
    """Median, minimum, maximum, and the values."""
    return {
        "median": round(median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
        "values": [round(value, digits) for value in values],
    }


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Ours to theirs, within each round: what slows the machine for a while slows both."""
    return spread([mine / other for mine, other in zip(ours, theirs, strict=True)])


def latencies(values: Sequence[float]) -> dict[str, Any]:
    """p50, p99 and the number of samples; seconds become milliseconds."""
    return {
        "p50_ms": round(1000 * percentile(values, 50), 3),
        "p99_ms": round(1000 * percentile(values, 99), 3),
        "samples": len(values),
    }
