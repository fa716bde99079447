"""Check Retry and Catch of an activity state."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from bridge.errors import ErrorName
from bridge.lint import rules
from bridge.lint.finding import Addition, Finding
from bridge.lint.json_tree import Json, Pointer, mappings
from bridge.lint.matching import (
    ALL,
    HEARTBEAT_TIMEOUT,
    TASK_FAILED,
    TIMEOUT,
    doubtful,
    first_match,
    matches,
    misspelt,
    names,
)
from bridge.lint.task_states import TaskState, reachable

Field = Literal["Retry", "Catch"]

_MERGED = "{% $merge([$states.input, {'error': $states.errorOutput}]) %}"
# A state that reads these expects the error output as its input.
_READS_ERROR = re.compile(r"\$\.(?:Error|Cause)\b|\$states\.input\.(?:Error|Cause)\b")


def check(task: TaskState) -> Iterator[Finding]:
    """Yield the faults in Retry and Catch of one activity state."""
    yield from _retried(task)
    for number, retrier in mappings(task.state.get("Retry")):
        yield from _jitter(task, number, retrier)
    fields: tuple[Field, ...] = ("Retry", "Catch")
    for field in fields:
        yield from _names(task, field)
        yield from _order(task, field)
    for number, catcher in mappings(task.state.get("Catch")):
        yield from _drops_input(task, number, catcher)


def _retried(task: TaskState) -> Iterator[Finding]:
    """Whether lost workers and time-outs are retried."""
    retriers = [(number, _as_meant(each)) for number, each in mappings(task.state.get("Retry"))]
    found = {
        error: first_match(retriers, error)
        for error in (ErrorName.WORKER_LOST, HEARTBEAT_TIMEOUT, TIMEOUT)
    }
    never: dict[int, list[str]] = {}
    for error, match in found.items():
        if match is not None and _attempts(match[1]) == 0:
            never.setdefault(match[0], []).append(error)
    for number, errors in never.items():
        yield Finding(
            rule=rules.RETRIES_NEVER,
            at=(*task.at, "Retry", number, "MaxAttempts"),
            message=f"MaxAttempts=0 in the first retrier that matches {', '.join(errors)}.",
            fix="Use MaxAttempts of 2 or more, or leave the field out for 3.",
        )
    lost = [error for error in (ErrorName.WORKER_LOST, HEARTBEAT_TIMEOUT) if found[error] is None]
    if lost:
        yield Finding(
            rule=rules.LOST_NOT_RETRIED,
            at=task.at,
            message=f"no Retry of state {task.name!r} matches {' or '.join(lost)}.",
            fix=f'Add a retrier with "ErrorEquals": ["{ErrorName.WORKER_LOST}", "{TIMEOUT}", '
            f'"{HEARTBEAT_TIMEOUT}"].',
        )
    elif found[TIMEOUT] is None:
        yield Finding(
            rule=rules.TIMEOUT_NOT_RETRIED,
            at=task.at,
            message=f"no Retry of state {task.name!r} matches {TIMEOUT}.",
            fix=f"Add {TIMEOUT} to a retrier, unless a second run would be too late anyway.",
        )


def _as_meant(block: Json) -> Json:
    """The block with its misspelt names corrected, so that each fault is found once."""
    return {**block, "ErrorEquals": [misspelt(name) or name for name in names(block)]}


def _attempts(retrier: Json) -> Any:
    given = retrier.get("MaxAttempts")
    return None if isinstance(given, bool) else given


def _jitter(task: TaskState, number: int, retrier: Json) -> Iterator[Finding]:
    # Any other text is a placeholder, which a template replaces.
    if retrier.get("JitterStrategy", "NONE") != "NONE" or _attempts(retrier) == 0:
        return
    at = (*task.at, "Retry", number)
    absent = "JitterStrategy" not in retrier
    yield Finding(
        rule=rules.NO_JITTER,
        at=at,
        message=f"all retries of {', '.join(names(retrier))} wait equally long.",
        fix='Add "JitterStrategy": "FULL".' if absent else 'Write "FULL" instead of "NONE".',
        addition=Addition(to=at, key="JitterStrategy", value="FULL") if absent else None,
    )


def _names(task: TaskState, field: Field) -> Iterator[Finding]:
    """Error names that match nothing, or not what their author meant."""
    for number, block in mappings(task.state.get(field)):
        given: Any = block.get("ErrorEquals")
        for index, name in enumerate(given if isinstance(given, list) else []):
            if isinstance(name, str):
                yield from _name(field, name, (*task.at, field, number, "ErrorEquals", index))


def _name(field: Field, name: str, at: Pointer) -> Iterator[Finding]:
    meant = misspelt(name)
    if meant is not None:
        yield Finding(
            rule=rules.UNKNOWN_ERROR,
            at=at,
            message=f"{field} of {name!r}, which the bridge never reports.",
            fix=f"Write {meant!r}." if meant else "docs/endings.md lists the names.",
        )
    elif (other := doubtful(name)) is not None:
        yield Finding(
            rule=rules.DOUBTFUL_ERROR,
            at=at,
            message=f"{field} of {name!r}: Step Functions receives {other!r} instead.",
            fix=f"Write {other!r}.",
        )
    elif name == ErrorName.CANCELLED:
        yield Finding(
            rule=rules.DROPPED_ERROR,
            at=at,
            message=f"{field} of {name!r} never matches.",
            fix="Remove it.",
        )


def _order(task: TaskState, field: Field) -> Iterator[Finding]:
    """States.ALL that is not alone and last, and blocks that an earlier one makes useless."""
    blocks = mappings(task.state.get(field))
    for position, (number, block) in enumerate(blocks):
        own = names(block)
        at = (*task.at, field, number)
        last = position == len(blocks) - 1
        if ALL in own and (len(own) > 1 or not last):
            wrong = "is not alone in ErrorEquals" if len(own) > 1 else f"is not the last {field}"
            fix = "Give it a block of its own, the last." if len(own) > 1 else "Move it to the end."
            yield Finding(
                rule=rules.ALL_MISPLACED,
                at=(*at, "ErrorEquals"),
                message=f"{ALL} {wrong}.",
                fix=fix,
            )
            return
        before = [name for _, other in blocks[:position] for name in names(other)]
        if own and all(_taken(name, before) for name in own):
            yield Finding(
                rule=rules.NEVER_REACHED,
                at=at,
                message=f"an earlier {field} already matches {', '.join(own)}.",
                fix="Move it before the more general one, or remove it.",
            )


def _taken(name: str, before: list[str]) -> bool:
    """Whether an earlier name certainly matches every error that this name matches."""
    if name == TIMEOUT and name not in before:
        return False
    if name.startswith("States.") and TASK_FAILED in before and name not in before:
        # AWS does not say which of its own errors count as a failed task.
        return name == HEARTBEAT_TIMEOUT and TIMEOUT in before
    return any(matches(earlier, name) for earlier in before)


def _drops_input(task: TaskState, number: int, catcher: Json) -> Iterator[Finding]:
    """A Catch that replaces the input, though a later state probably works on it."""
    at = (*task.at, "Catch", number)
    target = catcher.get("Next")
    key, value = ("Output", _MERGED) if task.jsonata else ("ResultPath", "$.error")
    if key in catcher or not isinstance(target, str):
        return
    after = task.siblings.get(target)
    if not isinstance(after, dict) or after.get("Type") == "Fail":
        return
    following = [task.siblings[name] for name in reachable(task.siblings, target)]
    if _READS_ERROR.search(json.dumps(following, default=str)):
        return
    if task.jsonata and not any(_reads_input(state) for state in following):
        return
    yield Finding(
        rule=rules.CATCH_DROPS_INPUT,
        at=at,
        message=f"state {target!r} gets Error and Cause of state {task.name!r}, and nothing of its "
        "input.",
        fix=f'Add "{key}": "{value}".',
        addition=Addition(to=at, key=key, value=value),
    )


def _reads_input(state: Any) -> bool:
    """Whether a JSONata state reads its input; other states read variables."""
    if not isinstance(state, dict):
        return False
    given = any(key in state for key in ("Arguments", "Items"))
    takes = state.get("Type") in ("Task", "Map", "Parallel", "Succeed")
    return "$states.input" in json.dumps(state, default=str) or (
        takes and not given and "Output" not in state
    )
