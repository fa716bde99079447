"""Which errors a Retry or a Catch matches, by the rules of Step Functions.

Source: AWS Step Functions Developer Guide, "Handling errors in Step Functions workflows".
"""

from __future__ import annotations

import difflib
from typing import Any

from bridge.errors import ErrorName
from bridge.lint.json_tree import Json

ALL = "States.ALL"
TASK_FAILED = "States.TaskFailed"
TIMEOUT = "States.Timeout"
HEARTBEAT_TIMEOUT = "States.HeartbeatTimeout"

# Every name that the bridge reports to Step Functions.
REPORTED = frozenset(name.value for name in ErrorName if name is not ErrorName.FAILURE_REFUSED)
STATES = frozenset(
    {
        ALL,
        TASK_FAILED,
        TIMEOUT,
        HEARTBEAT_TIMEOUT,
        "States.BranchFailed",
        "States.DataLimitExceeded",
        "States.ExceedToleratedFailureThreshold",
        "States.Http.Socket",
        "States.IntrinsicFailure",
        "States.ItemReaderFailed",
        "States.NoChoiceMatched",
        "States.ParameterPathFailure",
        "States.Permissions",
        "States.QueryEvaluationError",
        "States.ResultPathMatchFailure",
        "States.ResultWriterFailed",
        "States.Runtime",
    }
)
# Neither States.ALL nor States.TaskFailed matches these.
_TERMINAL = frozenset({"States.DataLimitExceeded", "States.Runtime"})
# Celery's exceptions, and the names that the bridge reports instead of them.
_CELERYS = {
    "WorkerLostError": ErrorName.WORKER_LOST.value,
    "WorkerLost": ErrorName.WORKER_LOST.value,
    "TimeLimitExceeded": ErrorName.TIME_LIMIT_EXCEEDED.value,
    "billiard.exceptions.TimeLimitExceeded": ErrorName.TIME_LIMIT_EXCEEDED.value,
    "billiard.exceptions.WorkerLostError": ErrorName.WORKER_LOST.value,
    "NotRegistered": ErrorName.TASK_NOT_REGISTERED.value,
    "TaskRevokedError": ErrorName.JOB_REVOKED.value,
}


def names(block: Json) -> list[str]:
    """The ErrorEquals of a Retry or Catch."""
    given: Any = block.get("ErrorEquals")
    return [each for each in given if isinstance(each, str)] if isinstance(given, list) else []


def matches(pattern: str, error: str) -> bool:
    """Whether a name in ErrorEquals matches an error.

    >>> matches("States.ALL", "States.DataLimitExceeded"), matches("States.TaskFailed", "KeyError")
    (False, True)
    """
    if pattern == error:
        return True
    if error in _TERMINAL:
        return False
    if pattern == ALL:
        return True
    if pattern == TASK_FAILED:
        return error != TIMEOUT
    # The older name, which matches both kinds of time-out.
    return pattern == TIMEOUT and error == HEARTBEAT_TIMEOUT


def first_match(blocks: list[tuple[int, Json]], error: str) -> tuple[int, Json] | None:
    """The Retry or Catch that Step Functions uses for an error, and its index; None: no match."""
    for place, block in blocks:
        if any(matches(name, error) for name in names(block)):
            return place, block
    return None


def misspelt(name: str) -> str | None:
    """The name of the bridge that was probably meant.

    Empty when no name is similar; None when ``name`` is right, or not a name of the bridge.
    """
    if not name.lower().startswith("bridge.") or name in REPORTED:
        return None
    return _nearest(name, REPORTED) or ""


def doubtful(name: str) -> str | None:
    """The name that was probably meant by one of Celery's, or by a misspelt one of AWS's."""
    if name in _CELERYS:
        return _CELERYS[name]
    if name.lower().startswith("states.") and name not in STATES:
        return _nearest(name, STATES)
    return None


def _nearest(name: str, known: frozenset[str]) -> str | None:
    by_lower = {each.lower(): each for each in sorted(known)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.75)
    return by_lower[near[0]] if near else None
