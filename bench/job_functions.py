"""The functions that the bench's jobs run; they need no Celery."""

from __future__ import annotations

import time
from typing import Any


def noop(event: dict[str, str]) -> dict[str, float]:
    """Do nothing, and return when: Unix seconds."""
    begun = time.time()
    return {"begun": begun, "ended": time.time()}


def timed(event: dict[str, Any]) -> dict[str, float]:
    """Sleep for the input's ``ms``, and return when it began and ended: Unix seconds."""
    begun = time.time()
    time.sleep(event.get("ms", 0) / 1000)
    return {"begun": begun, "ended": time.time()}
