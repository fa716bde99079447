"""Time-outs and heartbeats of a state, against those of its task."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from bridge.heartbeat_ratio import (
    RATIO_IN_WORDS,
    heartbeat_seconds,
    is_enough,
    longest_interval_s,
)
from bridge.lint import rules
from bridge.lint.model import Addition, Finding, Json, Known
from bridge.lint.walk import Place


def seconds(state: Json, key: str) -> float | None:
    """The number that a field says; None without one, or where an expression stands for it."""
    value: Any = state.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def has(state: Json, key: str) -> bool:
    """Whether a field is there, be it as a number, an expression or a path."""
    return state.get(key) is not None or state.get(key + "Path") is not None


def check(
    place: Place, known: Known | None, visibility_timeout_s: float | None
) -> Iterator[Finding]:
    """The faults of the time-outs of one activity state."""
    yield from _heartbeat(place, known)
    timeout_s = seconds(place.state, "TimeoutSeconds")
    heartbeat_s = seconds(place.state, "HeartbeatSeconds")
    if not has(place.state, "TimeoutSeconds"):
        yield Finding(
            rules.NO_TIMEOUT,
            place.at,
            f"state {place.name!r} has no TimeoutSeconds.",
            "Add TimeoutSeconds: the longest wait for a worker plus the longest run.",
        )
    if timeout_s is not None and heartbeat_s is not None and timeout_s <= heartbeat_s:
        yield Finding(
            rules.TIMEOUT_BELOW_HEARTBEAT,
            (*place.at, "TimeoutSeconds"),
            f"TimeoutSeconds={timeout_s:g} is not above HeartbeatSeconds={heartbeat_s:g}.",
            f"Use TimeoutSeconds of {heartbeat_s + 1:g} or more, or a shorter heartbeat.",
        )
    if known is not None and known.time_limit_s:
        yield from _limits(place, timeout_s, known.time_limit_s, visibility_timeout_s)


def _heartbeat(place: Place, known: Known | None) -> Iterator[Finding]:
    if not has(place.state, "HeartbeatSeconds"):
        yield _missing(place, known)
        return
    heartbeat_s = seconds(place.state, "HeartbeatSeconds")
    if heartbeat_s is None or known is None or known.manual:
        return
    beat_s, enough_s = known.heartbeat_s, heartbeat_seconds(known.heartbeat_s)
    if is_enough(heartbeat_s, beat_s):
        return
    rule = rules.HEARTBEAT_TIGHT if heartbeat_s > beat_s else rules.HEARTBEAT_TOO_SHORT
    yield Finding(
        rule,
        (*place.at, "HeartbeatSeconds"),
        f"HeartbeatSeconds={heartbeat_s:g}, and the task of state {place.name!r} sends a heartbeat "
        f"every {beat_s:g} s.",
        f"Use {enough_s} or more, or heartbeat={longest_interval_s(heartbeat_s):.3g} at the task.",
    )


def _missing(place: Place, known: Known | None) -> Finding:
    fix = f"Add HeartbeatSeconds: {RATIO_IN_WORDS} heartbeat intervals of the task."
    addition = None
    if known is not None and known.manual:
        fix = (
            f"Add HeartbeatSeconds: {RATIO_IN_WORDS} times the longest time between two calls of "
            "bridge.current().heartbeat() in the job."
        )
    elif known is not None:
        enough_s = heartbeat_seconds(known.heartbeat_s)
        fix = (
            f'Add "HeartbeatSeconds": {enough_s}, {RATIO_IN_WORDS} intervals of '
            f"{known.heartbeat_s:g} s."
        )
        timeout_s = seconds(place.state, "TimeoutSeconds")
        # An expression may say less: then adding one fault would mend another.
        certain = timeout_s is not None or not has(place.state, "TimeoutSeconds")
        if certain and (timeout_s is None or enough_s < timeout_s):
            addition = Addition(place.at, "HeartbeatSeconds", enough_s, after="Resource")
        else:
            fix += " TimeoutSeconds must be above it: decide on both."
    return Finding(
        rules.NO_HEARTBEAT,
        place.at,
        f"state {place.name!r} has no HeartbeatSeconds.",
        fix,
        addition,
    )


def _limits(
    place: Place, timeout_s: float | None, limit_s: float, visibility_timeout_s: float | None
) -> Iterator[Finding]:
    if timeout_s is not None and limit_s >= timeout_s:
        yield Finding(
            rules.TIME_LIMIT_ABOVE_TIMEOUT,
            (*place.at, "TimeoutSeconds"),
            f"TimeoutSeconds={timeout_s:g}, and the task's time_limit is {limit_s:g} s.",
            f"Use TimeoutSeconds above {limit_s:g}, with the wait for a worker, or a lower limit.",
        )
    if visibility_timeout_s is not None and visibility_timeout_s < limit_s:
        yield Finding(
            rules.VISIBILITY_TIMEOUT,
            (*place.at, "Resource"),
            f"the broker's visibility_timeout is {visibility_timeout_s:g} s, the time_limit of the "
            f"task of state {place.name!r} {limit_s:g} s.",
            f'broker_transport_options = {{"visibility_timeout": {math.ceil(limit_s * 2)}, …}}',
        )
