"""Start the demo's executions, and ask Step Functions what became of them."""

from __future__ import annotations

import json
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path("tasks")
MACHINE = FOLDER / "monthly_report.asl.json"
CASES = FOLDER / "demo.json"
"""Kinds of executions: the input of each, and the status with which it must end."""
ROLE_ARN = "arn:aws:iam::123456789012:role/local"


@dataclass(slots=True, kw_only=True)
class Execution:
    """One execution of the demo, and what became of it.

    Attributes:
        kind: Name of its case in ``demo.json``.
        expected: Status with which it must end.
        jobs: Activity tasks that workers claimed.
    """

    name: str
    kind: str
    expected: str
    arn: str
    status: str = "RUNNING"
    duration_s: float = 0.0
    jobs: int = 0
    retries: int = 0
    heartbeats: int = 0

    @property
    def ended(self) -> bool:
        """Whether Step Functions has ended it."""
        return self.status != "RUNNING"

    @property
    def as_expected(self) -> bool:
        """Whether it ended with the status that its case expects."""
        return self.status == self.expected


def load_cases() -> list[dict[str, Any]]:
    """The cases of ``demo.json``."""
    cases: list[dict[str, Any]] = json.loads(CASES.read_text("utf-8"))
    return cases


def create_machine(sfn: Any) -> str:
    """Create the state machine, with the ARNs of the activities in it; returns its own ARN."""
    activities = [
        activity
        for page in sfn.get_paginator("list_activities").paginate()
        for activity in page["activities"]
    ]
    arns = {_substitution(activity["name"]): activity["activityArn"] for activity in activities}
    definition = re.sub(
        r"\$\{(\w+)\}", lambda match: arns[match.group(1)], MACHINE.read_text("utf-8")
    )
    name = MACHINE.name.partition(".")[0].replace("_", "-")
    machine = sfn.create_state_machine(name=name, definition=definition, roleArn=ROLE_ARN)
    return str(machine["stateMachineArn"])


def _substitution(activity: str) -> str:
    """``data-validation-activity`` → ``DataValidationActivity``, as in the definition."""
    return "".join(word.capitalize() for word in re.split(r"[-_]", activity))


def start_executions(
    sfn: Any, machine: str, *, cases: list[dict[str, Any]], count: int, reports: Path
) -> list[Execution]:
    """Start ``count`` executions, which take the cases in turn and write into ``reports``."""
    started = []
    for number in range(count):
        case = cases[number % len(cases)]
        name = f"{number + 1:03}-{case['name']}"
        event = {**case["input"], "output_dir": str(reports)}
        if "orders" in event:
            event["orders"] = str(Path(event["orders"]).absolute())
        text = json.dumps(event)
        arn = sfn.start_execution(stateMachineArn=machine, name=name, input=text)["executionArn"]
        started.append(Execution(name=name, kind=case["name"], expected=case["status"], arn=arn))
    return started


def update_statuses(sfn: Any, started: list[Execution]) -> None:
    """Ask for the status of each execution that had not ended yet."""
    for execution in started:
        if execution.ended:
            continue
        description = sfn.describe_execution(executionArn=execution.arn)
        execution.status = description["status"]
        if "stopDate" in description:
            duration = description["stopDate"] - description["startDate"]
            execution.duration_s = duration.total_seconds()


def count_calls(sfn: Any, started: list[Execution]) -> None:
    """Set jobs and heartbeats as Step Functions counted them, and retries from the history."""
    counts_url = f"{sfn.meta.endpoint_url}/_local/calls"
    with urllib.request.urlopen(counts_url, timeout=10) as answer:  # noqa: S310
        calls = json.load(answer)
    history = sfn.get_paginator("get_execution_history")
    for execution in started:
        counts = calls.get(execution.arn, {})
        execution.jobs = counts.get("claims", 0)
        execution.heartbeats = counts.get("heartbeats", 0)
        types = [
            event["type"]
            for page in history.paginate(executionArn=execution.arn)
            for event in page["events"]
        ]
        # A state is entered once, and schedules its task once more for each retry.
        execution.retries = types.count("ActivityScheduled") - types.count("TaskStateEntered")
