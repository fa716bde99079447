"""Create activities and executions, act on them, and read what became of them.

It uses only boto3, so the suite runs against any endpoint of Step Functions.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.waiting import wait_until

ROLE_ARN = os.environ.get("CONFORMANCE_ROLE_ARN", "arn:aws:iam::123456789012:role/states")
# A state without TimeoutSeconds may show the default of the language, which is over three years.
NO_TIMEOUT_S = 99_999_999

ENDINGS = {"ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut"}


def unique(prefix: str = "conformance") -> str:
    """A name that is used only once."""
    return f"{prefix}-{uuid.uuid4().hex}"


@contextmanager
def refused(*codes: str) -> Iterator[None]:
    """Expect the call to be refused with one of these error codes."""
    with pytest.raises(ClientError) as caught:
        yield
    code = caught.value.response["Error"]["Code"]
    assert code in codes, f"refused with {code}: {caught.value}; expected {codes}"


class Scene:
    """One test's own activity, and the executions that use it.

    Args:
        sfn: A client.
        raw: A client that sends requests unchecked, even invalid ones.
    """

    def __init__(self, sfn: Any, raw: Any) -> None:
        self.sfn, self.raw = sfn, raw
        self._activities: list[str] = []
        self._machines: list[str] = []
        self._executions: list[str] = []
        self.activity = self.new_activity()

    # Create

    def new_activity(self, name: str | None = None) -> str:
        arn = self.sfn.create_activity(name=name or unique())["activityArn"]
        self._activities.append(arn)
        return arn

    def task(self, *, activity: str | None = None, **fields: Any) -> dict[str, Any]:
        """A Task state of the activity; the last one, unless it says Next."""
        state = {"Type": "Task", "Resource": activity or self.activity, **fields}
        return state if "Next" in fields else {**state, "End": True}

    def machine(self, *states: dict[str, Any], **fields: Any) -> str:
        """A state machine of these states, named S0, S1 and so on; it starts with the first."""
        definition = {
            "StartAt": "S0",
            "States": {f"S{n}": state for n, state in enumerate(states)},
            **fields,
        }
        arn = self.sfn.create_state_machine(
            name=unique(), definition=json.dumps(definition), roleArn=ROLE_ARN
        )["stateMachineArn"]
        self._machines.append(arn)
        return arn

    def execute(self, machine: str, payload: Any = None) -> str:
        """Start an execution; returns its ARN."""
        text = json.dumps({} if payload is None else payload, ensure_ascii=False)
        arn = self.sfn.start_execution(stateMachineArn=machine, input=text)["executionArn"]
        self._executions.append(arn)
        return arn

    def start(self, *states: dict[str, Any], payload: Any = None, **fields: Any) -> str:
        """Start an execution of a new state machine; returns its ARN."""
        return self.execute(self.machine(*states, **fields), payload)

    # Act as a worker

    def poll(self, activity: str | None = None, worker: str | None = None) -> dict[str, Any]:
        """Poll until a task comes; returns its ``taskToken`` and ``input``, as text."""
        request = {"activityArn": activity or self.activity}
        if worker is not None:
            request["workerName"] = worker

        def answer() -> dict[str, Any] | None:
            task = self.sfn.get_activity_task(**request)
            return task if task.get("taskToken") else None

        return wait_until(answer)

    def token(self, activity: str | None = None) -> str:
        return self.poll(activity)["taskToken"]

    def succeed(self, token: str, output: str = "{}") -> None:
        self.sfn.send_task_success(taskToken=token, output=output)

    def fail(self, token: str, **fields: str) -> None:
        self.sfn.send_task_failure(taskToken=token, **fields)

    def heartbeat(self, token: str) -> None:
        self.sfn.send_task_heartbeat(taskToken=token)

    # Read

    def status(self, execution: str) -> str:
        return self.sfn.describe_execution(executionArn=execution)["status"]

    def end(self, execution: str) -> dict[str, Any]:
        """The description of an execution, once its description and its history show its end."""

        def ended() -> dict[str, Any] | None:
            description = self.sfn.describe_execution(executionArn=execution)
            if description["status"] == "RUNNING":
                return None
            # Histories at AWS are eventually consistent.
            endings = {event["type"] for event in self.history(execution)} & ENDINGS
            return description if endings else None

        return wait_until(ended)

    def output(self, execution: str) -> Any:
        """The output of a succeeded execution, from its history."""
        description = self.end(execution)
        assert description["status"] == "SUCCEEDED", description
        succeeded = self.event(execution, "ExecutionSucceeded")
        return json.loads(succeeded["executionSucceededEventDetails"]["output"])

    def history(self, execution: str) -> list[dict[str, Any]]:
        pages = self.sfn.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    def activity_events(self, execution: str) -> list[str]:
        """The types of the history's events of activities, in order."""
        types = [event["type"] for event in self.history(execution)]
        return [type_ for type_ in types if type_.startswith("Activity")]

    def event(self, execution: str, type_: str) -> dict[str, Any]:
        """The first event of a type, once the history has one."""

        def first() -> dict[str, Any] | None:
            found = (event for event in self.history(execution) if event["type"] == type_)
            return next(found, None)

        return wait_until(first)

    def clean_up(self) -> None:
        """Stop and delete everything that the test created."""
        for execution in self._executions:
            if self.status(execution) == "RUNNING":
                self.sfn.stop_execution(executionArn=execution)
        for machine in self._machines:
            self.sfn.delete_state_machine(stateMachineArn=machine)
        for activity in self._activities:
            self.sfn.delete_activity(activityArn=activity)
