"""Check whether a state adds its whole result to its whole input again and again.

This is a heuristic: it looks at loops and at Map states.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bridge.lint import rules
from bridge.lint.finding import Finding
from bridge.lint.json_tree import Pointer
from bridge.lint.task_states import TaskState, in_a_loop

_APPENDED = re.compile(r"\$append\s*\(|\$merge\s*\(")


def check(task: TaskState) -> Iterator[Finding]:
    """Yield a finding when one activity state lets the payload grow in a loop or a Map."""
    at = _keeps_both(task)
    if at is None:
        return
    where, advice = "", ""
    if in_a_loop(task) and _passes_whole_input(task):
        where = "in a loop, and its task gets all of it again"
        advice = "pass only a part of the input to the task"
    elif task.maps and not _map_drops(task):
        where = "for every item of a Map, whose output has all of them"
        advice = "keep the result in a store and return its key"
    if where:
        selector = "Output" if task.jsonata else "ResultSelector"
        yield Finding(
            rule=rules.PAYLOAD_GROWS,
            at=at,
            message=f"state {task.name!r} keeps its whole result beside its whole input {where}.",
            fix=f"Select what is needed with {selector}, or {advice}.",
        )


def _keeps_both(task: TaskState) -> Pointer | None:
    """Path to the field that keeps the result beside the input; None when none does."""
    state = task.state
    if task.jsonata:
        output = state.get("Output")
        if (
            isinstance(output, str)
            and _APPENDED.search(output)
            and re.search(r"\$states\.result(?![.\w])", output)
            and "$states.input" in output
        ):
            return (*task.at, "Output")
        return None
    path = state.get("ResultPath")
    if not isinstance(path, str) or path == "$" or state.get("ResultSelector") is not None:
        return None
    if state.get("OutputPath", "$") != "$":
        return None
    return (*task.at, "ResultPath")


def _passes_whole_input(task: TaskState) -> bool:
    if task.jsonata:
        return "Arguments" not in task.state
    return task.state.get("InputPath", "$") == "$" and "Parameters" not in task.state


def _map_drops(task: TaskState) -> bool:
    """Whether the innermost Map drops the output of its items, or writes it elsewhere."""
    outer = task.maps[-1]
    drops = "ResultPath" in outer and outer["ResultPath"] is None
    return drops or any(key in outer for key in ("ResultWriter", "ResultSelector", "Output"))
