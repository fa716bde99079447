"""Find the Task states of a definition, however deep: Parallel branches and Map iterators too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.lint.model import Json, Pointer, mappings

JSONATA = "JSONata"


@dataclass(frozen=True, slots=True)
class Place:
    """A Task state and what is around it.

    Attributes:
        at: Path to it in the definition.
        siblings: The states that ``Next`` can name from here.
        jsonata: Whether its query language is JSONata.
        maps: The Map states around it, the innermost last.
        express: Whether a distributed Map runs it as an Express workflow.
    """

    name: str
    state: Json
    at: Pointer
    siblings: Mapping[str, Any]
    jsonata: bool = False
    maps: tuple[Json, ...] = ()
    express: bool = False


def tasks(definition: Json, at: Pointer = ()) -> Iterator[Place]:
    """All Task states, in the order in which they are written."""
    yield from _walk(definition, at, definition.get("QueryLanguage") == JSONATA, (), express=False)


def _walk(
    block: Json, at: Pointer, jsonata: bool, maps: tuple[Json, ...], *, express: bool
) -> Iterator[Place]:
    states = block.get("States")
    if not isinstance(states, Mapping):
        return
    for name, state in states.items():
        if not isinstance(state, Mapping):
            continue
        here: Pointer = (*at, "States", name)
        own = state.get("QueryLanguage", JSONATA if jsonata else "") == JSONATA
        if state.get("Type") == "Task":
            yield Place(str(name), state, here, states, own, maps, express)
        for place, branch in mappings(state.get("Branches")):
            yield from _walk(branch, (*here, "Branches", place), own, maps, express=express)
        for key in ("ItemProcessor", "Iterator"):
            inner = state.get(key)
            if isinstance(inner, Mapping):
                yield from _walk(
                    inner, (*here, key), own, (*maps, state), express=express or _is_express(inner)
                )


def _is_express(processor: Json) -> bool:
    config = processor.get("ProcessorConfig")
    return isinstance(config, Mapping) and config.get("ExecutionType") == "EXPRESS"


def targets(state: Any) -> Iterator[str]:
    """The states that can come next."""
    if not isinstance(state, Mapping):
        return
    rules = [state, *(rule for key in ("Choices", "Catch") for _, rule in mappings(state.get(key)))]
    for rule in rules:
        for key in ("Next", "Default"):
            if isinstance(rule.get(key), str):
                yield rule[key]


def reachable(siblings: Mapping[str, Any], *starts: str) -> list[str]:
    """The states that can be reached from these, them included if they exist."""
    found = [start for start in dict.fromkeys(starts) if start in siblings]
    for name in found:  # grows meanwhile
        found += [
            each
            for each in dict.fromkeys(targets(siblings[name]))
            if each in siblings and each not in found
        ]
    return found


def in_a_loop(place: Place) -> bool:
    """Whether the state can come again in the same execution."""
    return place.name in reachable(place.siblings, *targets(place.state))
