"""Call the store from a job, and wait while the store is away.

A job that is acknowledged before the store has answered may be lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from celery.exceptions import SoftTimeLimitExceeded

from bridge.errors import SchemaMismatch, StoreUnavailable
from bridge.support.backoff import OUTCOME_RETRY_S

logger = logging.getLogger(__name__)

T = TypeVar("T")


def wait_for_store(call: Callable[[], T]) -> T:
    """Make this call of the store again and again until the store answers; return the answer."""
    has_logged = False
    while True:
        try:
            return call()
        except (SchemaMismatch, StoreUnavailable) as exc:
            if not has_logged:
                logger.warning("%s This job waits for it.", exc)
            has_logged = True
            time.sleep(OUTCOME_RETRY_S)


def wait_past_soft_limit(call: Callable[[], T]) -> T:
    """``wait_for_store`` after the user's code has ended: the soft time limit changes nothing now.

    Celery raises ``SoftTimeLimitExceeded`` once for each run, perhaps during this wait. The hard
    time limit still holds.
    """
    try:
        return wait_for_store(call)
    except SoftTimeLimitExceeded:
        return wait_for_store(call)
