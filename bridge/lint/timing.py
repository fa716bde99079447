"""Check the time-outs and HeartbeatSeconds of a state against the options of its task."""

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
from bridge.lint.finding import Addition, Finding
from bridge.lint.json_tree import Json
from bridge.lint.known import KnownActivity
from bridge.lint.task_states import TaskState


def seconds(state: Json, key: str) -> float | None:
    """The number in a field; None when the field is missing or holds an expression."""
    value: Any = state.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def has(state: Json, key: str) -> bool:
    """Whether a state has a field, as a number, an expression or a path."""
    return state.get(key) is not None or state.get(key + "Path") is not None


def check(
    task: TaskState, known: KnownActivity | None, visibility_timeout_s: float | None
) -> Iterator[Finding]:
    """Yield the faults in the time-outs of one activity state."""
    yield from _heartbeat(task, known)
    timeout_s = seconds(task.state, "TimeoutSeconds")
    heartbeat_s = seconds(task.state, "HeartbeatSeconds")
    if not has(task.state, "TimeoutSeconds"):
        yield Finding(
            rule=rules.NO_TIMEOUT,
            at=task.at,
            message=f"state {task.name!r} has no TimeoutSeconds.",
            fix="Add TimeoutSeconds: the longest wait for a worker plus the longest run.",
        )
    if timeout_s is not None and heartbeat_s is not None and timeout_s <= heartbeat_s:
        yield Finding(
            rule=rules.TIMEOUT_BELOW_HEARTBEAT,
            at=(*task.at, "TimeoutSeconds"),
            message=f"TimeoutSeconds={timeout_s:g} is not above HeartbeatSeconds={heartbeat_s:g}.",
            fix=f"Use TimeoutSeconds of {heartbeat_s + 1:g} or more, or shorter HeartbeatSeconds.",
        )
    if known is not None and known.time_limit_s:
        yield from _time_limit(task, timeout_s, known.time_limit_s, visibility_timeout_s)


def _heartbeat(task: TaskState, known: KnownActivity | None) -> Iterator[Finding]:
    if not has(task.state, "HeartbeatSeconds"):
        yield _no_heartbeat(task, known)
        return
    given_s = seconds(task.state, "HeartbeatSeconds")
    if given_s is None or known is None or known.manual:
        return
    interval_s = known.heartbeat_s
    if is_enough(given_s, interval_s):
        return
    yield Finding(
        rule=rules.HEARTBEAT_TIGHT if given_s > interval_s else rules.HEARTBEAT_TOO_SHORT,
        at=(*task.at, "HeartbeatSeconds"),
        message=f"HeartbeatSeconds={given_s:g}, and the task of state {task.name!r} sends a "
        f"heartbeat every {interval_s:g} s.",
        fix=f"Use {heartbeat_seconds(interval_s)} or more, or set "
        f"heartbeat={longest_interval_s(given_s):.3g} on the task.",
    )


def _no_heartbeat(task: TaskState, known: KnownActivity | None) -> Finding:
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
        timeout_s = seconds(task.state, "TimeoutSeconds")
        # The value of an expression may be smaller: the addition would then be a new fault.
        certain = timeout_s is not None or not has(task.state, "TimeoutSeconds")
        if certain and (timeout_s is None or enough_s < timeout_s):
            addition = Addition(
                to=task.at, key="HeartbeatSeconds", value=enough_s, after="Resource"
            )
        else:
            fix += " TimeoutSeconds must be above it: decide on both."
    return Finding(
        rule=rules.NO_HEARTBEAT,
        at=task.at,
        message=f"state {task.name!r} has no HeartbeatSeconds.",
        fix=fix,
        addition=addition,
    )


def _time_limit(
    task: TaskState, timeout_s: float | None, limit_s: float, visibility_timeout_s: float | None
) -> Iterator[Finding]:
    if timeout_s is not None and limit_s >= timeout_s:
        yield Finding(
            rule=rules.TIME_LIMIT_ABOVE_TIMEOUT,
            at=(*task.at, "TimeoutSeconds"),
            message=f"TimeoutSeconds={timeout_s:g}, and the task's time_limit is {limit_s:g} s.",
            fix=f"Use TimeoutSeconds above {limit_s:g} plus the wait for a worker, or a shorter "
            "time_limit.",
        )
    if visibility_timeout_s is not None and visibility_timeout_s < limit_s:
        yield Finding(
            rule=rules.VISIBILITY_TIMEOUT,
            at=(*task.at, "Resource"),
            message=f"the broker's visibility_timeout is {visibility_timeout_s:g} s, and the "
            f"time_limit of the task of state {task.name!r} is {limit_s:g} s.",
            fix="Set broker_transport_options = "
            f'{{"visibility_timeout": {math.ceil(limit_s * 2)}, …}}.',
        )
