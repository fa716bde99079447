"""Build Amazon States Language for activities: Task states, retriers, catchers, state machines.

The functions return plain dicts for ``json.dumps``, and do not call AWS. They refuse mistakes that
AWS finds late or never, such as HeartbeatSeconds above TimeoutSeconds, or ``States.ALL`` before
other errors. ``with_context=True`` wraps a task's input in an envelope that says which execution
and state it belongs to; ``unwrap`` removes the envelope.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from celery import Task

from bridge.addresses.partitions import partition_of
from bridge.context_envelope import Context, envelope_fields, unwrap
from bridge.errors import ErrorName, SettingsError
from bridge.heartbeat_ratio import heartbeat_seconds
from bridge.names import check_activity, parse_arn
from bridge.registry import Activity

__all__ = [
    "Context",
    "activity_task",
    "catch",
    "catch_all",
    "retry_all",
    "retry_lost",
    "retry_transient",
    "state_machine",
    "unwrap",
]

QueryLanguage = Literal["JSONPath", "JSONata"]
Block = dict[str, Any]
Blocks = Mapping[str, Any] | Iterable[Mapping[str, Any]]

WORKER_LOST = ErrorName.WORKER_LOST.value
ALL = "States.ALL"
MAX_SECONDS = 99_999_999
MAX_DELAY_SECONDS = 31_622_399
MAX_STATE_NAME = 80

_REFERENCE_PATH = re.compile(r"\$(?:\.[^\s.\[\]$@,:?*'\"]+|\['[^']+'\]|\[\d+\])*")
_TOP_LEVEL = re.compile(r"\$\.([A-Za-z_]\w*)", re.ASCII)


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
    """Build a Task state of an activity. It ends the execution unless ``next`` names a state.

    Args:
        activity: An ARN; or a name, an ``Activity`` of the registry or a Celery task with an
            ``activity=`` option, with ``region`` and ``account`` unless that names an ARN.
        timeout_s: TimeoutSeconds, which Step Functions counts from when a poller takes the task, so
            the wait in Celery's queue is included.
        heartbeat_s: HeartbeatSeconds, below ``timeout_s``. None: three heartbeat intervals of the
            Activity or task, in whole seconds; without HeartbeatSeconds for an ARN or a name.
        retry, catch: One block or several; Step Functions uses the first that matches an error.
        result_path: Where the output goes in the state's input: ``"$"`` replaces it, None drops the
            output. For JSONata, which has no ResultPath, it becomes an Output.
        with_context: Whether the input is wrapped in the envelope that ``unwrap`` removes.

    Raises:
        SettingsError: Step Functions would refuse an argument, or it cannot work.
    """
    _check_query_language(query_language)
    name, heartbeat_s = _name_and_heartbeat_s(activity, heartbeat_s)
    _check_timeouts(name, timeout_s, heartbeat_s)
    fields: Block = {
        "Type": "Task",
        "Resource": _arn(name, region, account),
        "TimeoutSeconds": timeout_s,
        "HeartbeatSeconds": heartbeat_s,
        "Comment": comment,
        "Retry": _blocks("retry", retry),
        "Catch": _blocks("catch", catch),
    }
    state = {key: value for key, value in fields.items() if value}
    state |= envelope_fields(jsonata=query_language == "JSONata") if with_context else {}
    state |= {"ResultPath": _reference_path(result_path)} if result_path != "$" else {}
    if query_language == "JSONata":
        _make_jsonata(state)
    return {**state, "End": True} if next is None else {**state, "Next": next}


def retry_transient(
    *errors: str,
    interval_s: int = 5,
    backoff_rate: float = 2.0,
    max_attempts: int = 3,
    max_delay_s: int = 300,
) -> Block:
    """Retry these errors: class names of exceptions, or names given to ``ActivityError``.

    The wait before retry n is random, up to ``interval_s`` × ``backoff_rate`` ^ n and at most
    ``max_delay_s``.
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
        raise SettingsError(
            f"backoff_rate={backoff_rate!r} is not a number of 1.0 or more. Use 2.0."
        )
    return {
        "ErrorEquals": _errors("retry", errors),
        "IntervalSeconds": interval_s,
        "BackoffRate": backoff_rate,
        "MaxAttempts": max_attempts,
        "MaxDelaySeconds": max_delay_s,
        "JitterStrategy": "FULL",
    }


def retry_lost(**pace: Any) -> Block:
    """Retry when a worker died or sent no heartbeats, or the task was not finished in time."""
    return retry_transient(WORKER_LOST, "States.Timeout", "States.HeartbeatTimeout", **pace)


def retry_all(**pace: Any) -> Block:
    """Retry every error that can be retried; put this last."""
    return retry_transient(ALL, **pace)


def catch(*errors: str, next: str, result_path: str | None = "$.error") -> Block:  # noqa: A002
    """Go to ``next`` on these errors, with Error and Cause at ``result_path`` of the state's input.

    ``"$"`` replaces the input, None drops the error. In a JSONata state, ``activity_task`` replaces
    ResultPath by an Output with the same effect.
    """
    block: Block = {"ErrorEquals": _errors("catch", errors), "Next": next}
    return {**block, "ResultPath": _reference_path(result_path)}


def catch_all(next: str, *, result_path: str | None = "$.error") -> Block:  # noqa: A002
    """Go to ``next`` on every error that can be caught; put this last."""
    return catch(ALL, next=next, result_path=result_path)


def state_machine(
    start_at: str, states: Mapping[str, Mapping[str, Any]], *, timeout_s: int, comment: str = ""
) -> Block:
    """Build the definition of a state machine.

    Raises:
        SettingsError: A name is not that of a state, or a state cannot be reached.
    """
    reached = [start_at]
    for name in reached:  # the list grows while it is read
        if name not in states:
            raise SettingsError(f"{name!r} is not a state. The states are: {', '.join(states)}.")
        if not 0 < len(name) <= MAX_STATE_NAME:
            raise SettingsError(
                f"state name {name!r} has {len(name)} characters, not 1 to {MAX_STATE_NAME}."
            )
        rules = (states[name], *states[name].get("Choices", ()), *states[name].get("Catch", ()))
        targets = [rule[key] for rule in rules for key in ("Next", "Default") if key in rule]
        reached += [target for target in targets if target not in reached]
    if unreached := [name for name in states if name not in reached]:
        raise SettingsError(f"no state leads to {unreached[0]!r}. Remove it, or go to it.")
    definition: Block = {"Comment": comment} if comment else {}
    definition |= {"StartAt": start_at, "TimeoutSeconds": _whole("timeout_s", timeout_s)}
    return {**definition, "States": copy.deepcopy(dict(states))}


def _check_query_language(query_language: str) -> None:
    if query_language not in get_args(QueryLanguage):
        raise SettingsError(
            f'query_language={query_language!r} is neither "JSONPath" nor "JSONata".'
        )


def _check_timeouts(name: str, timeout_s: int, heartbeat_s: int | None) -> None:
    _whole("timeout_s", timeout_s)
    if heartbeat_s is not None and _whole("heartbeat_s", heartbeat_s) >= timeout_s:
        raise SettingsError(
            f"heartbeat_s={heartbeat_s} of activity {name!r} is not below timeout_s={timeout_s}, "
            "so it would have no effect. "
            f"Use a timeout_s of {heartbeat_s + 1} or more, or a shorter heartbeat."
        )


def _name_and_heartbeat_s(activity: Any, heartbeat_s: int | None) -> tuple[str, int | None]:
    """The activity's name or ARN, and HeartbeatSeconds: as given, or from its interval."""
    if isinstance(activity, str):
        return check_activity(activity), heartbeat_s
    name = getattr(activity, "activity", None)
    interval_s: Any = getattr(activity, "heartbeat", None)
    if isinstance(activity, Activity):
        name, interval_s = activity.name, "manual" if activity.manual else activity.heartbeat_s
    if name is None:
        raise SettingsError(f"{activity!r} has no activity= option. Give an ARN or an Activity.")
    check_activity(name)
    if heartbeat_s is not None:
        return name, heartbeat_s
    if not isinstance(interval_s, int | float):
        raise SettingsError(
            f"heartbeat={interval_s!r} of activity {name!r} is not a number of seconds. Give "
            + (
                "heartbeat_s, or the Activity, which has BRIDGE_HEARTBEAT_S."
                if interval_s is None
                else "heartbeat_s."
            )
        )
    return name, heartbeat_seconds(interval_s)


def _arn(name: str, region: str | None, account: str | None) -> str:
    if parse_arn(name) is not None:
        return name
    partition = partition_of(region or "")
    arn = f"arn:{partition}:states:{region}:{account}:activity:{name}"
    if parse_arn(arn) is None:
        raise SettingsError(
            f"region={region!r} and account={account!r} do not make a valid ARN of activity "
            f"{name!r}. Give "
            'both, such as region="us-east-1", account="123456789012".'
        )
    return arn


def _make_jsonata(state: Block) -> None:
    """Change a Task state of JSONPath, and its catchers, into JSONata."""
    state["QueryLanguage"] = "JSONata"
    _output_of_result_path(state, "result")
    for catcher in state.get("Catch", ()):
        _output_of_result_path(catcher, "errorOutput")


def _output_of_result_path(block: Block, value: str) -> None:
    if (path := block.pop("ResultPath", "$")) is None:
        block["Output"] = "{% $states.input %}"
    elif path != "$":
        if not (name := _TOP_LEVEL.fullmatch(path)):
            raise SettingsError(
                f'result_path={path!r} cannot be written in JSONata. Use "$.name", "$" or None.'
            )
        merged = f'$merge([$states.input, {{"{name[1]}": $states.{value}}}])'
        block["Output"] = f"{{% {merged} %}}"


def _blocks(where: str, given: Blocks) -> list[Block]:
    # Copies, because one block may be used in many states, and each may be changed later.
    blocks = [copy.deepcopy(dict(b)) for b in ([given] if isinstance(given, Mapping) else given)]
    names = [_errors(where, block.get("ErrorEquals", ())) for block in blocks]
    if [ALL] in names[:-1]:
        raise SettingsError(f"{where}: {ALL} hides the blocks after it. Put it last.")
    return blocks


def _errors(where: str, errors: Iterable[str]) -> list[str]:
    names = list(errors)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise SettingsError(
            f"{where}: {names!r} are not error names. Give, for example, {WORKER_LOST!r}."
        )
    if ALL in names and len(names) > 1:
        raise SettingsError(f"{where}: {ALL} includes all errors in {names!r}. Give it alone.")
    return names


def _whole(name: str, value: Any, *, least: int = 1, most: int = MAX_SECONDS) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SettingsError(f"{name}={value!r} is not a whole number from {least} to {most}.")
    return value


def _reference_path(path: str | None) -> str | None:
    if path is not None and not _REFERENCE_PATH.fullmatch(path):
        raise SettingsError(
            f'result_path={path!r} is not a reference path. Use one such as "$.error", or None.'
        )
    return path
