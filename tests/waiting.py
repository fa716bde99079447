"""Tests wait for conditions, never for time alone."""

from __future__ import annotations

import time


def wait_until(condition, *, timeout_s: float = 60.0, what: str = ""):
    """Wait until the condition is true; its value. The error names ``what`` was waited for."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s} s: {what or condition}")
