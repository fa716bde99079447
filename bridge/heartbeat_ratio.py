"""The ratio of a state's HeartbeatSeconds to the heartbeat interval of its task.

A heartbeat can be late or throttled. HeartbeatSeconds of three intervals keep a healthy task alive
when two heartbeats in a row do not arrive. ``bridge.statemachine`` writes states with this ratio,
the linter compares definitions with it, and the heartbeat pass uses it to find the token that times
out first, and the jobs with ``heartbeat="manual"`` that have been silent for too long.
"""

from __future__ import annotations

import math

INTERVALS_PER_HEARTBEAT_SECONDS = 3
RATIO_IN_WORDS = "three"


def heartbeat_seconds(interval_s: float) -> int:
    """The least HeartbeatSeconds for a task with this heartbeat interval.

    >>> heartbeat_seconds(20), heartbeat_seconds(2.5)
    (60, 8)
    """
    return math.ceil(INTERVALS_PER_HEARTBEAT_SECONDS * interval_s)


def is_enough(heartbeat_seconds: float, interval_s: float) -> bool:
    """Whether a state's HeartbeatSeconds are at least the ratio times the heartbeat interval."""
    return heartbeat_seconds >= INTERVALS_PER_HEARTBEAT_SECONDS * interval_s


def longest_interval_s(heartbeat_seconds: float) -> float:
    """The longest heartbeat interval for which a state's HeartbeatSeconds are enough."""
    return heartbeat_seconds / INTERVALS_PER_HEARTBEAT_SECONDS
