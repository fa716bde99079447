"""Find the Task states of a definition, also in Parallel branches and Map iterators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bridge.lint.json_tree import Json, Pointer, mappings

JSONATA = "JSONata"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """A Task state and what surrounds it.

    Attributes:
        state: Its fields.
        at: Path to it in the definition.
        siblings: The states that its ``Next`` can name.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """An object that has ``States``: a state machine, a branch or an iterator."""

    value: Json
    at: Pointer
    jsonata: bool
    maps: tuple[Json, ...] = ()
    express: bool = False


def task_states(definition: Json, at: Pointer = ()) -> Iterator[TaskState]:
    """All Task states, in the order in which they are written."""
    jsonata = definition.get("QueryLanguage") == JSONATA
    yield from _in_block(_Block(value=definition, at=at, jsonata=jsonata))


def _in_block(block: _Block) -> Iterator[TaskState]:
    states = block.value.get("States")
    if not isinstance(states, Mapping):
        return
    for name, state in states.items():
        if not isinstance(state, Mapping):
            continue
        at: Pointer = (*block.at, "States", name)
        jsonata = state.get("QueryLanguage", JSONATA if block.jsonata else "") == JSONATA
        if state.get("Type") == "Task":
            yield TaskState(
                name=str(name),
                state=state,
                at=at,
                siblings=states,
                jsonata=jsonata,
                maps=block.maps,
                express=block.express,
            )
        for inner in _blocks_of(state, replace(block, at=at, jsonata=jsonata)):
            yield from _in_block(inner)


def _blocks_of(state: Json, around: _Block) -> Iterator[_Block]:
    """The branches of a Parallel state, or the iterator of a Map."""
    for index, branch in mappings(state.get("Branches")):
        yield replace(around, value=branch, at=(*around.at, "Branches", index))
    for key in ("ItemProcessor", "Iterator"):
        iterator = state.get(key)
        if isinstance(iterator, Mapping):
            yield replace(
                around,
                value=iterator,
                at=(*around.at, key),
                maps=(*around.maps, state),
                express=around.express or _is_express(iterator),
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
    """The states that can be reached from ``starts``; these too, where they exist."""
    found = [start for start in dict.fromkeys(starts) if start in siblings]
    for name in found:  # the list grows while it is read
        found += [
            each
            for each in dict.fromkeys(targets(siblings[name]))
            if each in siblings and each not in found
        ]
    return found


def in_a_loop(task: TaskState) -> bool:
    """Whether the state can run again in the same execution."""
    return task.name in reachable(task.siblings, *targets(task.state))
