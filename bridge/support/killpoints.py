"""Name the moments at which tests kill a process.

The bridge promises to survive a kill at any moment; tests prove it at these. Only code inside the
process, such as a test's, can arm a kill point.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class KillPoint(StrEnum):
    """The moments at which a kill could lose most."""

    BEFORE_STORE = "before_store"
    """Poller: it has a task token, which is stored nowhere."""
    AFTER_STORE_BEFORE_DISPATCH = "after_store_before_dispatch"
    """Poller: the claim is stored, its job is not published."""
    AFTER_DISPATCH_BEFORE_NOTE = "after_dispatch_before_note"
    """Poller or recovery: the job is published, the claim does not say so."""
    AFTER_START_BEFORE_RUN = "after_start_before_run"
    """Worker: the claim is marked as running, the user's code has not begun."""
    AFTER_RUN_BEFORE_OUTCOME = "after_run_before_outcome"
    """Worker: the user's code has returned, its outcome is not stored."""
    AFTER_OUTCOME_BEFORE_ACK = "after_outcome_before_ack"
    """Worker: the outcome is stored, the message is not acknowledged."""
    AFTER_REPORT_BEFORE_NOTE = "after_report_before_note"
    """Reporter: Step Functions has taken the outcome, the claim is not closed."""
    AFTER_LOSS_BEFORE_DISPATCH = "after_loss_before_dispatch"
    """Recovery: lost claims have their next attempt, and its job is not published."""


_armed: dict[KillPoint, Callable[[], None]] = {}


def arm(point: KillPoint, action: Callable[[], None]) -> None:
    """Call ``action`` whenever this process passes ``point``."""
    _armed[point] = action


def passing(point: KillPoint) -> None:
    """Do nothing, unless a test has armed the point."""
    action = _armed.get(point)
    if action is not None:
        action()
