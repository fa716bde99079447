"""The envelope around a task's input that says which execution and state the task belongs to.

``bridge.statemachine.activity_task(with_context=True)`` makes Step Functions add it; the worker
removes it before it calls the task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# The fields of the envelope, and their paths in the context object of Step Functions.
_PATHS = {
    "execution": "Execution.Id",
    "execution_name": "Execution.Name",
    "state": "State.Name",
    "entered": "State.EnteredTime",
    "retry_count": "State.RetryCount",
    "state_machine": "StateMachine.Id",
}


@dataclass(frozen=True, slots=True)
class Context:
    """The execution and the state that a task belongs to.

    A field that an envelope does not have is empty, or 0. ``execution`` and ``state_machine`` are
    ARNs. ``entered`` is ISO 8601, as Step Functions writes it. ``retry_count`` counts the retries
    of the state machine, not those of the bridge.
    """

    execution: str
    execution_name: str = ""
    state: str = ""
    entered: str = ""
    retry_count: int = 0
    state_machine: str = ""


def unwrap(event: Any) -> tuple[Any, Context | None]:
    """Return the input without its envelope, and the context from the envelope.

    Without an envelope, return the event as it is, and None. An envelope has exactly the keys
    ``bridge`` and ``input``; ``bridge`` is a dict with a string ``execution``. Unknown keys in it
    are ignored, because a later version may add some.
    """
    if not isinstance(event, dict) or event.keys() != {"bridge", "input"}:
        return event, None
    given = event["bridge"]
    if not isinstance(given, dict) or not isinstance(given.get("execution"), str):
        return event, None
    types = {key: int if key == "retry_count" else str for key in _PATHS}
    known = {key: given[key] for key, type_ in types.items() if isinstance(given.get(key), type_)}
    return event["input"], Context(**known)


def envelope_fields(*, jsonata: bool) -> dict[str, Any]:
    """The fields of a Task state that make Step Functions wrap the input."""
    if jsonata:
        bridge = {key: f"{{% $states.context.{path} %}}" for key, path in _PATHS.items()}
        return {"Arguments": {"bridge": bridge, "input": "{% $states.input %}"}}
    bridge = {f"{key}.$": f"$$.{path}" for key, path in _PATHS.items()}
    return {"Parameters": {"bridge": bridge, "input.$": "$"}}
