"""Amazon States Language for activities: Task states, retriers, catchers, the context envelope.

Plain functions that return plain dicts, for ``json.dumps``; nothing here calls AWS. What AWS
refuses late or never (a heartbeat above its time-out, ``States.ALL`` before others) is refused
here. ``with_context=True`` wraps a task's input in an envelope that says which execution it is of;
``unwrap`` takes it off again.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from celery import Task

from bridge.addresses.partitions import partition_of
from bridge.errors import ErrorName, SettingsError
from bridge.heartbeat_ratio import heartbeat_seconds
from bridge.names import check_activity, parse_arn
from bridge.registry import Activity

QueryLanguage = Literal["JSONPath", "JSONata"]
Block = dict[str, Any]
Blocks = Mapping[str, Any] | Iterable[Mapping[str, Any]]

WORKER_LOST = ErrorName.WORKER_LOST.value
ALL = "States.ALL"
MAX_SECONDS = 99_999_999
MAX_DELAY_SECONDS = 31_622_399
MAX_STATE_NAME = 80

# What the envelope says, and where the context object of Step Functions has it.
_CONTEXT = {
    "execution": "Execution.Id",
    "execution_name": "Execution.Name",
    "state": "State.Name",
    "entered": "State.EnteredTime",
    "retry_count": "State.RetryCount",
    "state_machine": "StateMachine.Id",
}
_REFERENCE_PATH = re.compile(r"\$(?:\.[^\s.\[\]$@,:?*'\"]+|\['[^']+'\]|\[\d+\])*")
_TOP_LEVEL = re.compile(r"\$\.([A-Za-z_]\w*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Context:
    """Which execution a task is of; what an envelope leaves out is empty, or 0.

    ``execution`` and ``state_machine`` are ARNs; ``entered`` is ISO 8601 as Step Functions writes
    it; ``retry_count`` counts the retries of the state machine, not those of the bridge.
    """

    execution: str
    execution_name: str = ""
    state: str = ""
    entered: str = ""
    retry_count: int = 0
    state_machine: str = ""


def unwrap(event: Any) -> tuple[Any, Context | None]:
    """The input without its envelope, and what that said; the event itself and None without one.

    An envelope has exactly the keys ``bridge`` and ``input``; ``bridge`` is a dict with a string
    ``execution``, and may have more keys than we know: a later version may add some.
    """
    if not isinstance(event, dict) or event.keys() != {"bridge", "input"}:
        return event, None
    said = event["bridge"]
    if not isinstance(said, dict) or not isinstance(said.get("execution"), str):
        return event, None
    types = {key: int if key == "retry_count" else str for key in _CONTEXT}
    known = {key: said[key] for key, type_ in types.items() if isinstance(said.get(key), type_)}
    return event["input"], Context(**known)


def activity_task(
    activity: str | Activity | Task,
    *,
    timeout_s: int,
    region: str | None = None,
    account: str | None = None,
    heartbeat_s: int | None = None,
    next: str | None = None,  # noqa: A002 - the language's own word
    retry: Blocks = (),
    catch: Blocks = (),
    result_path: str | None = "$",
    comment: str = "",
    with_context: bool = False,
    query_language: QueryLanguage = "JSONPath",
) -> Block:
    """A Task state that an activity does; the last of its execution, unless it says ``next``.

    Args:
        activity: An ARN; or a name, an ``Activity`` of the registry or a Celery task with an
            ``activity=`` option, with ``region`` and ``account`` unless that names an ARN.
        timeout_s: TimeoutSeconds, counted from when a poller takes the task: the wait in Celery's
            queue counts too.
        heartbeat_s: HeartbeatSeconds, below ``timeout_s``. None: three heartbeat intervals of the
            Activity or task, in whole seconds; no HeartbeatSeconds for a mere ARN or name.
        retry, catch: One block or several; the first that matches an error is used.
        result_path: Where the output goes in the state's input: ``"$"`` replaces it, None drops the
            output. JSONata has no ResultPath: ``"$.name"`` becomes an Output that does the same.
        with_context: Whether the input is wrapped in the envelope that ``unwrap`` knows.

    Raises:
        SettingsError: An argument that Step Functions would refuse, or that cannot work.
    """
    if query_language not in get_args(QueryLanguage):
        raise SettingsError(f"query_language={query_language!r} is no JSONPath and no JSONata.")
    name, heartbeat_s = _name_and_heartbeat_s(activity, heartbeat_s)
    _whole("timeout_s", timeout_s)
    if heartbeat_s is not None and _whole("heartbeat_s", heartbeat_s) >= timeout_s:
        raise SettingsError(
            f"heartbeat_s={heartbeat_s} of activity {name!r} is not below timeout_s={timeout_s}: "
            "it would never matter. "
            f"Use a timeout_s of {heartbeat_s + 1} or more, or a shorter heartbeat."
        )
    catchers = _blocks("catch", catch)
    state: Block = {"Type": "Task", "Resource": _arn(name, region, account)}
    state |= {"TimeoutSeconds": timeout_s, "HeartbeatSeconds": heartbeat_s, "Comment": comment}
    state |= {"Retry": _blocks("retry", retry), "Catch": catchers}
    state = {key: value for key, value in state.items() if value}
    if with_context:
        state |= _envelope(query_language)
    if result_path != "$":
        state["ResultPath"] = _reference_path(result_path)
    if query_language == "JSONata":
        state["QueryLanguage"] = query_language
        _output_of_result_path(state, "result")
        for catcher in catchers:
            _output_of_result_path(catcher, "errorOutput")
    return {**state, "End": True} if next is None else {**state, "Next": next}


def retry_transient(
    *errors: str,
    interval_s: int = 5,
    backoff_rate: float = 2.0,
    max_attempts: int = 3,
    max_delay_s: int = 300,
) -> Block:
    """Retry these errors: class names of exceptions, or names given to ``ActivityError``.

    Waits are random, up to ``interval_s`` × ``backoff_rate`` ^ n, and ``max_delay_s`` at most.
    """
    _whole("interval_s", interval_s)
    _whole("max_attempts", max_attempts, least=0)
    _whole("max_delay_s", max_delay_s, most=MAX_DELAY_SECONDS)
    if max_delay_s <= interval_s:
        raise SettingsError(
            f"max_delay_s={max_delay_s} is not above interval_s={interval_s}. "
            f"Use {interval_s + 1} or more."
        )
    if not isinstance(backoff_rate, int | float) or not 1 <= backoff_rate < math.inf:
        raise SettingsError(f"backoff_rate={backoff_rate!r} is no number from 1.0. Use 2.0.")
    return {
        "ErrorEquals": _errors("retry", errors),
        "IntervalSeconds": interval_s,
        "BackoffRate": backoff_rate,
        "MaxAttempts": max_attempts,
        "MaxDelaySeconds": max_delay_s,
        "JitterStrategy": "FULL",
    }


def retry_lost(**pace: Any) -> Block:
    """Retry when a worker died or fell silent, or nobody took or finished the task in time."""
    return retry_transient(WORKER_LOST, "States.Timeout", "States.HeartbeatTimeout", **pace)


def retry_all(**pace: Any) -> Block:
    """Retry everything that can be retried; stands last."""
    return retry_transient(ALL, **pace)


def catch(*errors: str, next: str, result_path: str | None = "$.error") -> Block:  # noqa: A002
    """Go to ``next`` on these errors, with Error and Cause at ``result_path`` of the state's input.

    ``"$"`` replaces the input, None drops the error; for JSONata the Task makes an Output of it.
    """
    block: Block = {"ErrorEquals": _errors("catch", errors), "Next": next}
    return {**block, "ResultPath": _reference_path(result_path)}


def catch_all(next: str, *, result_path: str | None = "$.error") -> Block:  # noqa: A002
    """Go to ``next`` on every error that can be caught; stands last."""
    return catch(ALL, next=next, result_path=result_path)


def state_machine(
    start_at: str, states: Mapping[str, Mapping[str, Any]], *, timeout_s: int, comment: str = ""
) -> Block:
    """A state machine's definition; every name must be a state's, and every state be reached."""
    reached = [start_at]
    for name in reached:  # grows meanwhile
        if name not in states:
            raise SettingsError(f"{name!r} is no state. There are: {', '.join(states)}.")
        if not 0 < len(name) <= MAX_STATE_NAME:
            raise SettingsError(f"state name {name!r} has not 1 to {MAX_STATE_NAME} characters.")
        rules = (states[name], *states[name].get("Choices", ()), *states[name].get("Catch", ()))
        targets = [rule[key] for rule in rules for key in ("Next", "Default") if key in rule]
        reached += [target for target in targets if target not in reached]
    if unreached := [name for name in states if name not in reached]:
        raise SettingsError(f"nothing leads to state {unreached[0]!r}. Remove it, or go there.")
    definition: Block = {"Comment": comment} if comment else {}
    definition |= {"StartAt": start_at, "TimeoutSeconds": _whole("timeout_s", timeout_s)}
    return {**definition, "States": copy.deepcopy(dict(states))}


def _name_and_heartbeat_s(activity: Any, heartbeat_s: int | None) -> tuple[str, int | None]:
    if isinstance(activity, str):
        return check_activity(activity), heartbeat_s
    name = getattr(activity, "activity", None)
    beat_s: Any = getattr(activity, "heartbeat", None)
    if isinstance(activity, Activity):
        name, beat_s = activity.name, "manual" if activity.manual else activity.heartbeat_s
    if name is None:
        raise SettingsError(f"{activity!r} has no activity= option. Give an ARN or an Activity.")
    check_activity(name)
    if heartbeat_s is not None:
        return name, heartbeat_s
    if not isinstance(beat_s, int | float):
        raise SettingsError(
            f"activity {name!r} has heartbeat={beat_s!r}, which says no seconds. Give heartbeat_s"
            + (", or the Activity, which knows BRIDGE_HEARTBEAT_S." if beat_s is None else ".")
        )
    return name, heartbeat_seconds(beat_s)


def _arn(name: str, region: str | None, account: str | None) -> str:
    if parse_arn(name) is not None:
        return name
    partition = partition_of(region or "")
    arn = f"arn:{partition}:states:{region}:{account}:activity:{name}"
    if parse_arn(arn) is None:
        raise SettingsError(
            f"region={region!r} and account={account!r} make no ARN of activity {name!r}. Give "
            'both, such as region="us-east-1", account="123456789012".'
        )
    return arn


def _envelope(query_language: QueryLanguage) -> Block:
    if query_language == "JSONata":
        bridge = {key: f"{{% $states.context.{path} %}}" for key, path in _CONTEXT.items()}
        return {"Arguments": {"bridge": bridge, "input": "{% $states.input %}"}}
    bridge = {f"{key}.$": f"$$.{path}" for key, path in _CONTEXT.items()}
    return {"Parameters": {"bridge": bridge, "input.$": "$"}}


def _output_of_result_path(block: Block, value: str) -> None:
    if (path := block.pop("ResultPath", "$")) is None:
        block["Output"] = "{% $states.input %}"
    elif path != "$":
        if not (name := _TOP_LEVEL.fullmatch(path)):
            raise SettingsError(f'result_path={path!r} is not JSONata\'s. Use "$.name" at most.')
        merged = f'$merge([$states.input, {{"{name[1]}": $states.{value}}}])'
        block["Output"] = f"{{% {merged} %}}"


def _blocks(where: str, given: Blocks) -> list[Block]:
    # Copies: one block may stand in many states, each free to change its own.
    blocks = [copy.deepcopy(dict(b)) for b in ([given] if isinstance(given, Mapping) else given)]
    names = [_errors(where, block.get("ErrorEquals", ())) for block in blocks]
    if [ALL] in names[:-1]:
        raise SettingsError(f"{where}: {ALL} hides what stands behind it. Put it last.")
    return blocks


def _errors(where: str, errors: Iterable[str]) -> list[str]:
    names = list(errors)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise SettingsError(f"{where}: {names!r} are no error names. Give {WORKER_LOST!r}, say.")
    if ALL in names and len(names) > 1:
        raise SettingsError(f"{where}: {ALL} includes the others in {names!r}. Leave it alone.")
    return names


def _whole(name: str, value: Any, *, least: int = 1, most: int = MAX_SECONDS) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SettingsError(f"{name}={value!r} is no whole number. Use one from {least} to {most}.")
    return value


def _reference_path(path: str | None) -> str | None:
    if path is not None and not _REFERENCE_PATH.fullmatch(path):
        raise SettingsError(f'result_path={path!r} is no path. Use one such as "$.error", or None.')
    return path
