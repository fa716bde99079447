"""Retry and Catch of an activity state."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from bridge.errors import ErrorName
from bridge.lint import rules
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
from bridge.lint.model import Addition, Finding, Json, mappings
from bridge.lint.walk import Place, reachable

Field = Literal["Retry", "Catch"]

_MERGED = "{% $merge([$states.input, {'error': $states.errorOutput}]) %}"
# A state that reads these wants the error output as its input.
_READS_ERROR = re.compile(r"\$\.(?:Error|Cause)\b|\$states\.input\.(?:Error|Cause)\b")


def check(place: Place) -> Iterator[Finding]:
    """The faults of Retry and Catch of one activity state."""
    yield from _retried(place)
    for number, retrier in mappings(place.state.get("Retry")):
        yield from _jitter(place, number, retrier)
    fields: tuple[Field, ...] = ("Retry", "Catch")
    for field in fields:
        yield from _names(place, field)
        yield from _order(place, field)
    for number, catcher in mappings(place.state.get("Catch")):
        yield from _drops_input(place, number, catcher)


def _retried(place: Place) -> Iterator[Finding]:
    retriers = [(number, _as_meant(each)) for number, each in mappings(place.state.get("Retry"))]
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
            rules.RETRIES_NEVER,
            (*place.at, "Retry", number, "MaxAttempts"),
            f"MaxAttempts=0 in the first retrier that matches {', '.join(errors)}.",
            "Use MaxAttempts of 2 or more, or leave the field out for 3.",
        )
    lost = [error for error in (ErrorName.WORKER_LOST, HEARTBEAT_TIMEOUT) if found[error] is None]
    if lost:
        yield Finding(
            rules.LOST_NOT_RETRIED,
            place.at,
            f"no Retry of state {place.name!r} matches {' or '.join(lost)}.",
            f'Add a retrier with "ErrorEquals": ["{ErrorName.WORKER_LOST}", "{TIMEOUT}", '
            f'"{HEARTBEAT_TIMEOUT}"].',
        )
    elif found[TIMEOUT] is None:
        yield Finding(
            rules.TIMEOUT_NOT_RETRIED,
            place.at,
            f"no Retry of state {place.name!r} matches States.Timeout.",
            "Add States.Timeout to a retrier, unless a second run would be too late anyway.",
        )


def _as_meant(block: Json) -> Json:
    """With its misspelt names mended: each fault is told once."""
    return {**block, "ErrorEquals": [misspelt(name) or name for name in names(block)]}


def _attempts(retrier: Json) -> Any:
    given = retrier.get("MaxAttempts")
    return None if isinstance(given, bool) else given


def _jitter(place: Place, number: int, retrier: Json) -> Iterator[Finding]:
    # A template may fill in any other value.
    if retrier.get("JitterStrategy", "NONE") != "NONE" or _attempts(retrier) == 0:
        return
    at = (*place.at, "Retry", number)
    absent = "JitterStrategy" not in retrier
    yield Finding(
        rules.NO_JITTER,
        at,
        f"the retries of {', '.join(names(retrier))} wait equally long.",
        'Add "JitterStrategy": "FULL".' if absent else 'Write "FULL" instead of "NONE".',
        Addition(at, "JitterStrategy", "FULL") if absent else None,
    )


def _names(place: Place, field: Field) -> Iterator[Finding]:
    for number, block in mappings(place.state.get(field)):
        given: Any = block.get("ErrorEquals")
        for index, name in enumerate(given if isinstance(given, list) else []):
            if not isinstance(name, str):
                continue
            at = (*place.at, field, number, "ErrorEquals", index)
            meant = misspelt(name)
            if meant is not None:
                yield Finding(
                    rules.UNKNOWN_ERROR,
                    at,
                    f"{field} of {name!r}, which the bridge never reports.",
                    f"Write {meant!r}." if meant else "docs/endings.md has the names.",
                )
            elif (other := doubtful(name)) is not None:
                yield Finding(
                    rules.DOUBTFUL_ERROR,
                    at,
                    f"{field} of {name!r}: Step Functions hears {other!r}.",
                    f"Write {other!r}.",
                )
            elif name == ErrorName.CANCELLED:
                yield Finding(
                    rules.DROPPED_ERROR, at, f"{field} of {name!r} never matches.", "Remove it."
                )


def _order(place: Place, field: Field) -> Iterator[Finding]:
    """States.ALL anywhere but alone and last; and what an earlier one leaves no error."""
    blocks = mappings(place.state.get(field))
    for position, (number, block) in enumerate(blocks):
        own = names(block)
        at = (*place.at, field, number)
        last = position == len(blocks) - 1
        if ALL in own and (len(own) > 1 or not last):
            wrong = "is not alone in ErrorEquals" if len(own) > 1 else f"is not the last {field}"
            fix = "Give it a block of its own, the last." if len(own) > 1 else "Move it to the end."
            yield Finding(rules.ALL_MISPLACED, (*at, "ErrorEquals"), f"States.ALL {wrong}.", fix)
            return
        before = [name for _, other in blocks[:position] for name in names(other)]
        if own and all(_taken(name, before) for name in own):
            yield Finding(
                rules.NEVER_REACHED,
                at,
                f"an earlier {field} matches {', '.join(own)} already.",
                "Move it before the more general one, or remove it.",
            )


def _taken(name: str, before: list[str]) -> bool:
    """Whether an earlier name certainly matches all that this one does."""
    if name == TIMEOUT and name not in before:
        return False
    if name.startswith("States.") and TASK_FAILED in before and name not in before:
        # AWS does not say which of its own errors a task's failure includes.
        return name == HEARTBEAT_TIMEOUT and TIMEOUT in before
    return any(matches(earlier, name) for earlier in before)


def _drops_input(place: Place, number: int, catcher: Json) -> Iterator[Finding]:
    at = (*place.at, "Catch", number)
    target = catcher.get("Next")
    key, value = ("Output", _MERGED) if place.jsonata else ("ResultPath", "$.error")
    if key in catcher or not isinstance(target, str):
        return
    after = place.siblings.get(target)
    if not isinstance(after, dict) or after.get("Type") == "Fail":
        return
    following = [place.siblings[name] for name in reachable(place.siblings, target)]
    if _READS_ERROR.search(json.dumps(following, default=str)):
        return
    if place.jsonata and not any(_wants_input(state) for state in following):
        return
    yield Finding(
        rules.CATCH_DROPS_INPUT,
        at,
        f"{target!r} gets Error and Cause of state {place.name!r}, and nothing of its input.",
        f'Add "{key}": "{value}".',
        Addition(at, key, value),
    )


def _wants_input(state: Any) -> bool:
    """Whether a JSONata state works on its input; others live on variables."""
    if not isinstance(state, dict):
        return False
    given = any(key in state for key in ("Arguments", "Items"))
    takes = state.get("Type") in ("Task", "Map", "Parallel", "Succeed")
    return "$states.input" in json.dumps(state, default=str) or (
        takes and not given and "Output" not in state
    )
