"""Answer GetActivityTask and the three SendTask* calls, with AWS's checks of their fields.

moto does not implement GetActivityTask. Its SendTask* calls look through every execution, drop
``cause``, and leave the tokens of stopped executions open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from bridge.local.stepfunctions.activity_tasks import (
    TASKS,
    LocalTask,
    RequestRefused,
    activity_exists,
)

MAX_OUTPUT_BYTES = 262_144

Fields = Mapping[str, Any]


class HotCalls:
    """The four calls, each from the request's fields to the answer's.

    Args:
        hold_s: How long a poll without a task is held.
    """

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self.by_name: dict[str, Callable[[Fields], dict[str, Any]]] = {
            "GetActivityTask": self._get_activity_task,
            "SendTaskHeartbeat": self._send_task_heartbeat,
            "SendTaskSuccess": self._send_task_success,
            "SendTaskFailure": self._send_task_failure,
        }

    def _get_activity_task(self, fields: Fields) -> dict[str, Any]:
        arn = _text(fields, "activityArn", least=1, most=256)
        worker_name = _optional_text(fields, "workerName", least=1, most=80)
        if not activity_exists(arn):
            raise RequestRefused("ActivityDoesNotExist", f"Activity Does Not Exist: '{arn}'")
        task = TASKS.poll(arn, worker_name, self._hold_s)
        return {} if task is None else {"taskToken": task.token, "input": task.input}

    @staticmethod
    def _send_task_heartbeat(fields: Fields) -> dict[str, Any]:
        TASKS.heartbeat(_token(fields))
        return {}

    @staticmethod
    def _send_task_success(fields: Fields) -> dict[str, Any]:
        output = _output(fields)

        def succeed(task: LocalTask) -> None:
            task.output = output

        TASKS.end(_token(fields), "successes", succeed)
        return {}

    @staticmethod
    def _send_task_failure(fields: Fields) -> dict[str, Any]:
        error = _optional_text(fields, "error", least=0, most=256)
        cause = _optional_text(fields, "cause", least=0, most=32_768)

        def fail(task: LocalTask) -> None:
            task.failure = (error, cause)

        TASKS.end(_token(fields), "failures", fail)
        return {}


def _token(fields: Fields) -> str:
    return _text(fields, "taskToken", least=1, most=2048)


def _output(fields: Fields) -> str:
    output = fields.get("output")
    if not isinstance(output, str):
        raise RequestRefused("ValidationException", "Value null at 'output' must not be null")
    if len(output.encode()) > MAX_OUTPUT_BYTES:
        raise RequestRefused("ValidationException", "Value at 'output' is over 262144 bytes")
    try:
        json.loads(output, parse_constant=_refuse_constant)
    except ValueError as exc:
        raise RequestRefused("InvalidOutput", f"Invalid Output: '{exc}'") from None
    return output


def _refuse_constant(constant: str) -> None:
    """Refuse NaN and the infinities, which Python reads and JSON does not have."""
    raise ValueError(f"{constant} is not JSON")


def _optional_text(fields: Fields, name: str, *, least: int, most: int) -> str | None:
    return None if fields.get(name) is None else _text(fields, name, least=least, most=most)


def _text(fields: Fields, name: str, *, least: int, most: int) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise RequestRefused(
            "ValidationException",
            f"1 validation error detected: Value at '{name}' failed to satisfy constraint: "
            f"Member must have length between {least} and {most}",
        )
    return value
