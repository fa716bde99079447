"""A heuristic: results that are kept beside the input, again and again."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bridge.lint import rules
from bridge.lint.model import Finding, Pointer
from bridge.lint.walk import Place, in_a_loop

_APPENDED = re.compile(r"\$append\s*\(|\$merge\s*\(")


def check(place: Place) -> Iterator[Finding]:
    """Whether one activity state lets the payload grow in a loop or a Map."""
    at = _keeps_both(place)
    if at is None:
        return
    where, advice = "", ""
    if in_a_loop(place) and _passes_whole_input(place):
        where = "in a loop, and is given all of it again"
        advice = "pick the task's input"
    elif place.maps and not _map_drops(place):
        where = "for every item of a Map, whose output has all of them"
        advice = "keep the result in a store and return its key"
    if where:
        selector = "Output" if place.jsonata else "ResultSelector"
        yield Finding(
            rules.PAYLOAD_GROWS,
            at,
            f"state {place.name!r} keeps its whole result beside its whole input {where}.",
            f"Select what is needed with {selector}, or {advice}.",
        )


def _keeps_both(place: Place) -> Pointer | None:
    state = place.state
    if place.jsonata:
        output = state.get("Output")
        if (
            isinstance(output, str)
            and _APPENDED.search(output)
            and re.search(r"\$states\.result(?![.\w])", output)
            and "$states.input" in output
        ):
            return (*place.at, "Output")
        return None
    path = state.get("ResultPath")
    if not isinstance(path, str) or path == "$" or state.get("ResultSelector") is not None:
        return None
    if state.get("OutputPath", "$") != "$":
        return None
    return (*place.at, "ResultPath")


def _passes_whole_input(place: Place) -> bool:
    if place.jsonata:
        return "Arguments" not in place.state
    return place.state.get("InputPath", "$") == "$" and "Parameters" not in place.state


def _map_drops(place: Place) -> bool:
    """Whether the innermost Map throws its items' output away, or writes it elsewhere."""
    outer = place.maps[-1]
    drops = "ResultPath" in outer and outer["ResultPath"] is None
    return drops or any(key in outer for key in ("ResultWriter", "ResultSelector", "Output"))
