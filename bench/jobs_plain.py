"""The no-op job for those who have no Celery."""

from __future__ import annotations

import time


def noop(event: dict[str, str]) -> dict[str, float]:
    """Nothing, and when: Unix seconds."""
    begun = time.time()
    return {"begun": begun, "ended": time.time()}
