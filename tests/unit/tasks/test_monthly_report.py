"""The state machine fits the tasks, and Step Functions accepts the definition."""

import json
import re
from pathlib import Path

import boto3
import pytest
from celery import Celery
from moto import mock_aws

import tasks
from bridge import registry
from bridge.settings import Settings

FOLDER = Path(tasks.__file__).parent
DEFINITION = (FOLDER / "monthly_report.asl.json").read_text()
PLACEHOLDER = re.compile(r"\$\{([A-Za-z0-9]+)\}")


def placeholder(activity: str) -> str:
    """data-validation-activity → DataValidationActivity."""
    return "".join(part.capitalize() for part in activity.split("-"))


def task_states(states: dict) -> dict:
    """The Task states of a machine and of its Maps, by name."""
    found = {}
    for name, state in states.items():
        if state["Type"] == "Task":
            found[name] = state
        elif state["Type"] == "Map":
            found |= task_states(state["ItemProcessor"]["States"])
    return found


STATES = task_states(json.loads(DEFINITION)["States"])


@pytest.fixture(scope="module")
def activities():
    """The activities, as the bridge finds them in the tasks."""
    with Celery("test", set_as_current=False) as app:
        app.finalize()
        settings = Settings(store_url="redis://127.0.0.1")
        ours = registry.build(app, settings)
        return {
            activity.name: activity
            for activity in ours.values()
            if activity.task.__module__.startswith("tasks.")
        }


def test_the_machine_uses_exactly_the_activities_that_have_tasks(activities):
    assert set(PLACEHOLDER.findall(DEFINITION)) == {placeholder(name) for name in activities}


@pytest.mark.parametrize("name", sorted(STATES))
def test_heartbeat_seconds_are_three_times_the_tasks_heartbeat(activities, name):
    state = STATES[name]
    by_placeholder = {f"${{{placeholder(name)}}}": activities[name] for name in activities}
    activity = by_placeholder[state["Resource"]]

    assert state["HeartbeatSeconds"] == 3 * activity.heartbeat_s
    assert state["HeartbeatSeconds"] < state["TimeoutSeconds"]


@pytest.mark.parametrize("name", sorted(STATES))
def test_lost_workers_and_lost_tokens_are_retried(name):
    retry = STATES[name]["Retry"][0]

    assert {"Bridge.WorkerLost", "States.HeartbeatTimeout"} <= set(retry["ErrorEquals"])
    assert retry["JitterStrategy"] == "FULL"
    assert retry["MaxDelaySeconds"] >= retry["IntervalSeconds"]


@pytest.mark.parametrize("name", sorted(STATES))
def test_every_activity_gets_the_name_of_its_execution(name):
    inputs = (
        STATES[name].get("Parameters")
        or json.loads(DEFINITION)["States"]["EachMonth"]["ItemSelector"]
    )

    assert inputs["execution.$"] == "$.execution"


def test_only_the_email_task_is_not_run_again_after_a_lost_worker(activities):
    assert {name: activity.on_lost for name, activity in activities.items()} == {
        "data-validation-activity": "retry",
        "etl-process-activity": "retry",
        "report-generation-activity": "retry",
        "email-sending-activity": "fail",
    }


@mock_aws
def test_step_functions_accepts_the_definition(activities, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = boto3.client("stepfunctions", region_name="us-east-1")
    arns = {
        placeholder(name): client.create_activity(name=name)["activityArn"] for name in activities
    }
    definition = PLACEHOLDER.sub(lambda match: arns[match[1]], DEFINITION)

    answer = client.create_state_machine(
        name="monthly-report",
        definition=definition,
        roleArn="arn:aws:iam::123456789012:role/states",
    )

    assert answer["stateMachineArn"].endswith(":monthly-report")


def test_demo_cases_name_files_of_the_repository():
    cases = json.loads((FOLDER / "demo.json").read_text())

    assert len({case["name"] for case in cases}) == len(cases)
    for case in cases:
        assert set(case) == {"name", "input", "status"}
        assert (FOLDER.parent / case["input"]["orders"]).exists()
