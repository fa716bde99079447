"""Numbers with their words, as the sentences of ``status --why`` need them."""

from __future__ import annotations


def counted(count: int, one: str, many: str) -> str:
    """A count with the singular or the plural, such as ``1 claim runs``."""
    return f"{count} {one if count == 1 else many}"


def duration(seconds: float) -> str:
    """Seconds with three digits, or milliseconds if it is less than a second."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
