"""Step Functions and cfn-lint accept what bridge.statemachine makes, and executions follow it."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cfnlint.api import ManualArgs, lint

from bridge.statemachine import (
    activity_task,
    catch,
    catch_all,
    retry_all,
    retry_lost,
    retry_transient,
    state_machine,
    unwrap,
)

ARN = "arn:aws:states:us-east-1:123456789012:activity:resize"
DOCS = Path(__file__).parents[2] / "docs" / "statemachine.md"
DONE = {"Type": "Succeed"}


def refusals(definition):
    """The errors that cfn-lint finds in a definition."""
    properties = {"RoleArn": "arn:aws:iam::123456789012:role/states", "Definition": definition}
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    template = json.dumps({"Resources": {"Machine": machine}})
    found = lint(template, config=ManualArgs(regions=["us-east-1"]))
    return [f"{match.rule.id}: {match.message}" for match in found]


@cache
def documented():
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    scope = {"__name__": "docs"}
    for block in blocks:
        # Not shared: Celery would add the example's task to the apps of all other tests.
        block = block.replace("@app.task(", "@app.task(shared=False, ")
        exec(compile(block, DOCS.name, "exec"), scope)
    return scope["definition"]


def everything(arn=ARN, **fields):
    """A definition with everything that the helpers can make."""
    retry = [
        retry_lost(),
        retry_transient("Busy", "ConnectionError", interval_s=1, backoff_rate=1.0, max_delay_s=2),
        retry_all(max_attempts=0),
    ]
    catchers = [
        catch("Bad", next="Caught"),
        catch("Other", next="Caught", result_path="$"),
        catch_all("Caught", result_path=None),
    ]
    task = activity_task(
        arn,
        timeout_s=600,
        heartbeat_s=30,
        next="Caught",
        retry=retry,
        catch=catchers,
        result_path="$.out",
        comment="All of it.",
        **fields,
    )
    return state_machine("Work", {"Work": task, "Caught": DONE}, timeout_s=900, comment="All.")


DEFINITIONS = {
    "least": lambda arn: state_machine("S", {"S": activity_task(arn, timeout_s=9)}, timeout_s=9),
    "everything": everything,
    "everything, with context": lambda arn: everything(arn, with_context=True),
    "no output": lambda arn: state_machine(
        "S", {"S": activity_task(arn, timeout_s=9, result_path=None)}, timeout_s=9
    ),
    "limits": lambda arn: state_machine(
        "S" * 80,
        {
            "S" * 80: activity_task(
                arn,
                timeout_s=99_999_999,
                heartbeat_s=99_999_998,
                retry=retry_transient(
                    "A", interval_s=31_622_398, max_delay_s=31_622_399, max_attempts=99_999_999
                ),
            )
        },
        timeout_s=99_999_999,
    ),
    "JSONata": lambda arn: everything(arn, query_language="JSONata"),
    "JSONata, with context": lambda arn: everything(
        arn, query_language="JSONata", with_context=True
    ),
    "JSONata throughout": lambda arn: {
        **everything(arn, query_language="JSONata", with_context=True),
        "QueryLanguage": "JSONata",
    },
}


class TestSchema:
    @pytest.mark.parametrize("name", DEFINITIONS)
    def test_cfn_lint_accepts(self, name):
        assert refusals(DEFINITIONS[name](ARN)) == []

    def test_cfn_lint_accepts_the_how_to(self):
        assert refusals(documented()) == []

    @pytest.mark.parametrize(
        "field",
        [
            {"ResultPath": 7},
            {"Bogus": 1},
            {"HeartbeatSeconds": 0},
            {"Retry": {}},
            {"Next": "S"},
            {"QueryLanguage": "JSONata", "Parameters": {}},
            {"Catch": [{"ErrorEquals": ["A"]}]},
        ],
    )
    def test_cfn_lint_finds_mistakes(self, field):
        definition = DEFINITIONS["least"](ARN)
        definition["States"]["S"] |= field
        assert any(refusal.startswith("E3601") for refusal in refusals(definition))


class TestAccepted:
    @pytest.mark.parametrize("name", DEFINITIONS)
    def test_by_create_state_machine(self, scene, name):
        scene.machine(**DEFINITIONS[name](scene.activity))

    def test_the_how_to(self, scene):
        definition = documented()
        definition["States"]["Resize"]["Resource"] = scene.activity
        scene.machine(**definition)


class TestExecutions:
    def begin(self, scene, payload, states=None, **fields):
        task = activity_task(scene.activity, timeout_s=60, **fields)
        definition = state_machine("Work", {"Work": task, **(states or {})}, timeout_s=100)
        return scene.execute(scene.machine(**definition), payload)

    def test_runs_to_its_end(self, scene):
        execution = self.begin(scene, {"a": 1}, heartbeat_s=30)
        task = scene.poll()
        assert json.loads(task["input"]) == {"a": 1}
        scene.heartbeat(task["taskToken"])
        scene.succeed(task["taskToken"], '{"b": 2}')
        assert scene.output(execution) == {"b": 2}

    def test_puts_the_output_beside_the_input(self, scene):
        execution = self.begin(scene, {"a": 1}, {"Then": DONE}, result_path="$.out", next="Then")
        scene.succeed(scene.token(), "7")
        assert scene.output(execution) == {"a": 1, "out": 7}

    def test_drops_the_output(self, scene):
        execution = self.begin(scene, {"a": 1}, result_path=None)
        scene.succeed(scene.token(), "7")
        assert scene.output(execution) == {"a": 1}

    def test_schedules_with_its_time_outs(self, scene):
        execution = self.begin(scene, {}, heartbeat_s=30)
        scheduled = scene.event(execution, "ActivityScheduled")["activityScheduledEventDetails"]
        assert scheduled["timeoutInSeconds"] == 60
        assert scheduled["heartbeatInSeconds"] == 30
        scene.succeed(scene.token())

    def test_retries_a_lost_worker(self, scene):
        execution = self.begin(scene, {"a": 1}, retry=retry_lost(interval_s=1, max_attempts=1))
        first = scene.poll()
        scene.fail(first["taskToken"], error="Bridge.WorkerLost", cause="gone")
        second = scene.poll()
        assert second["taskToken"] != first["taskToken"]
        assert second["input"] == first["input"]
        scene.succeed(second["taskToken"], '"done"')
        assert scene.output(execution) == "done"

    def test_fails_after_max_attempts(self, scene):
        execution = self.begin(scene, {}, retry=retry_lost(interval_s=1, max_attempts=1))
        for _ in range(2):
            scene.fail(scene.token(), error="Bridge.WorkerLost")
        assert scene.end(execution)["status"] == "FAILED"
        assert scene.end(execution)["error"] == "Bridge.WorkerLost"
        assert scene.activity_events(execution).count("ActivityScheduled") == 2

    def test_does_not_retry_another_error(self, scene):
        execution = self.begin(scene, {}, retry=[retry_lost(), retry_transient("Busy")])
        scene.fail(scene.token(), error="Bad")
        assert scene.end(execution)["error"] == "Bad"

    def test_retries_missing_heartbeats(self, scene):
        execution = self.begin(scene, {}, heartbeat_s=1, retry=retry_lost(interval_s=1))
        scene.token()
        scene.succeed(scene.token(), '"second"')
        assert scene.output(execution) == "second"

    def test_catches_the_error_beside_the_input(self, scene):
        catchers = [catch("Bad", next="Caught"), catch_all("Other")]
        states = {"Caught": DONE, "Other": {"Type": "Fail", "Error": "Other"}}
        execution = self.begin(scene, {"a": 1}, states, catch=catchers)
        scene.fail(scene.token(), error="Bad", cause="no image")
        assert scene.output(execution) == {
            "a": 1,
            "error": {"Error": "Bad", "Cause": "no image"},
        }

    def test_catches_everything_after_its_retries(self, scene):
        execution = self.begin(
            scene,
            {"a": 1},
            {"Caught": DONE},
            retry=retry_all(interval_s=1, max_attempts=1),
            catch=catch_all("Caught"),
        )
        for cause in ("first", "second"):
            scene.fail(scene.token(), error="Whatever", cause=cause)
        assert scene.output(execution)["error"] == {"Error": "Whatever", "Cause": "second"}

    def test_the_fail_state_of_the_how_to_reports_the_error(self, scene):
        states = {"Report": documented()["States"]["Report"]}
        execution = self.begin(scene, {}, states, catch=catch_all("Report"))
        scene.fail(scene.token(), error="Bad", cause="no image")
        ended = scene.end(execution)
        assert (ended["error"], ended["cause"]) == ("Bad", "no image")


class TestEnvelope:
    def begin(self, scene, payload, **fields):
        task = activity_task(scene.activity, timeout_s=60, with_context=True, **fields)
        machine = scene.machine(**state_machine("Work", {"Work": task}, timeout_s=100))
        return machine, scene.execute(machine, payload)

    @pytest.mark.parametrize("language", ["JSONPath", "JSONata"])
    @pytest.mark.parametrize("payload", [{"a": 1}, {}, [1, 2], "text"])
    def test_has_the_execution(self, scene, local_stepfunctions, language, payload):
        if language == "JSONata" and not local_stepfunctions.external:
            pytest.skip("the local interpreter has no JSONata: it needs a JVM")
        machine, execution = self.begin(scene, payload, query_language=language)
        entered = scene.event(execution, "TaskStateEntered")["timestamp"]
        task = scene.poll()
        event, context = unwrap(json.loads(task["input"]))
        assert event == payload
        assert context is not None
        description = scene.sfn.describe_execution(executionArn=execution)
        assert context.execution == description["executionArn"] == execution
        assert context.execution_name == description["name"]
        assert context.state == "Work"
        assert context.state_machine == description["stateMachineArn"] == machine
        assert context.retry_count == 0
        assert abs(datetime.fromisoformat(context.entered) - entered) < timedelta(seconds=5)
        scene.succeed(task["taskToken"])

    def test_counts_retries(self, scene):
        self.begin(scene, {}, retry=retry_lost(interval_s=1))
        for expected in (0, 1, 2):
            task = scene.poll()
            _, context = unwrap(json.loads(task["input"]))
            assert context.retry_count == expected
            scene.fail(task["taskToken"], error="Bridge.WorkerLost")
        scene.succeed(scene.token())

    def test_leaves_result_path_its_input(self, scene):
        _, execution = self.begin(scene, {"a": 1}, result_path="$.out")
        scene.succeed(scene.token(), "7")
        assert scene.output(execution) == {"a": 1, "out": 7}
