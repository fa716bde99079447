"""The jobs, for those who have no Celery."""

from __future__ import annotations

import time
from typing import Any


def noop(event: dict[str, str]) -> dict[str, float]:
    """Nothing, and when: Unix seconds."""
    begun = time.time()
    return {"begun": begun, "ended": time.time()}


def timed(event: dict[str, Any]) -> dict[str, float]:
    """As long as the input says, in ms; and when: Unix seconds."""
    begun = time.time()
    time.sleep(event.get("ms", 0) / 1000)
    return {"begun": begun, "ended": time.time()}
