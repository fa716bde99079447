"""What the helpers for Amazon States Language make, and what they refuse."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from celery import Celery

from bridge.errors import SettingsError
from bridge.registry import Activity
from bridge.statemachine import (
    Context,
    activity_task,
    catch,
    catch_all,
    retry_all,
    retry_lost,
    retry_transient,
    state_machine,
    unwrap,
)
from tests.unit.addresses.partitions import PARTITIONS

ARN = "arn:aws:states:us-east-1:123456789012:activity:resize"
HERE = {"region": "us-east-1", "account": "123456789012"}
DOCS = Path(__file__).parents[2] / "docs" / "statemachine.md"


@pytest.fixture(scope="module")
def app():
    return Celery("test", set_as_current=False)


def task_of(app, **options):
    def work(event):
        return event

    return app.task(work, name=f"task-{options!r}", shared=False, **options)


def activity_of(app, heartbeat_s=10.0, **options):
    return Activity("resize", task_of(app), "celery", heartbeat_s, **options)


class TestActivityTask:
    def test_makes_the_least_task(self):
        assert activity_task(ARN, timeout_s=60) == {
            "Type": "Task",
            "Resource": ARN,
            "TimeoutSeconds": 60,
            "End": True,
        }

    def test_makes_all_of_a_task(self):
        retrier, catcher = retry_lost(), catch_all("Oops")
        assert activity_task(
            ARN,
            timeout_s=60,
            heartbeat_s=45,
            next="Then",
            retry=retrier,
            catch=[catcher],
            result_path="$.out",
            comment="why",
        ) == {
            "Type": "Task",
            "Resource": ARN,
            "TimeoutSeconds": 60,
            "HeartbeatSeconds": 45,
            "Comment": "why",
            "ResultPath": "$.out",
            "Retry": [retrier],
            "Catch": [catcher],
            "Next": "Then",
        }

    def test_none_as_result_path_drops_the_output(self):
        state = activity_task(ARN, timeout_s=60, result_path=None)
        assert state["ResultPath"] is None

    def test_blocks_are_copied(self):
        block = retry_lost()
        state = activity_task(ARN, timeout_s=60, retry=[block])
        state["Retry"][0]["ErrorEquals"].append("Other")
        assert block == retry_lost()

    @pytest.mark.parametrize("path", ["", "error", "$$.x", "$.a[*]", "$..a", "$.a b"])
    def test_refuses_what_is_no_reference_path(self, path):
        with pytest.raises(SettingsError, match=r"result_path=.*\$\.error"):
            activity_task(ARN, timeout_s=60, result_path=path)

    def test_refuses_an_unknown_language(self):
        with pytest.raises(SettingsError, match="'jsonata' is no JSONPath and no JSONata"):
            activity_task(ARN, timeout_s=60, query_language="jsonata")


class TestSeconds:
    @pytest.mark.parametrize("value", [0, -1, 1.5, 60.0, "60", True, None, 100_000_000])
    def test_refuses_a_timeout_that_is_no_second_count(self, value):
        with pytest.raises(SettingsError, match=f"timeout_s={value!r} .* from 1 to 99999999"):
            activity_task(ARN, timeout_s=value)

    @pytest.mark.parametrize("value", [0, -1, 1.5, "60", False, 100_000_000])
    def test_refuses_a_heartbeat_that_is_no_second_count(self, value):
        with pytest.raises(SettingsError, match=f"heartbeat_s={value!r} .* from 1 to 99999999"):
            activity_task(ARN, timeout_s=99_999_999, heartbeat_s=value)

    def test_takes_the_limits(self):
        state = activity_task(ARN, timeout_s=99_999_999, heartbeat_s=99_999_998)
        assert state["HeartbeatSeconds"] == 99_999_998

    @pytest.mark.parametrize("heartbeat_s", [60, 61])
    def test_refuses_a_heartbeat_not_below_the_timeout(self, heartbeat_s):
        with pytest.raises(
            SettingsError, match=f"={heartbeat_s} .*timeout_s=60.* {heartbeat_s + 1} or more"
        ):
            activity_task(ARN, timeout_s=60, heartbeat_s=heartbeat_s)


class TestResource:
    def test_a_name_needs_region_and_account(self):
        assert activity_task("resize", **HERE, timeout_s=60)["Resource"] == ARN

    @pytest.mark.parametrize(
        "where",
        [
            {},
            {"region": "us-east-1"},
            {"account": "1" * 12},
            {**HERE, "account": "12"},
            {**HERE, "region": "US East"},
        ],
    )
    def test_refuses_a_name_of_nowhere(self, where):
        with pytest.raises(SettingsError, match=r"no ARN of activity 'resize'\. Give both"):
            activity_task("resize", **where, timeout_s=60)

    @pytest.mark.parametrize(("region", "partition"), PARTITIONS.items())
    def test_a_region_has_its_partition(self, region, partition):
        state = activity_task("resize", region=region, account="1" * 12, timeout_s=60)
        assert state["Resource"] == f"arn:{partition}:states:{region}:{'1' * 12}:activity:resize"

    @pytest.mark.parametrize("activity", ["re size", "arn:aws:lambda:x", ""])
    def test_refuses_what_is_no_activity(self, activity):
        with pytest.raises(SettingsError):
            activity_task(activity, **HERE, timeout_s=60)

    @pytest.mark.parametrize("activity", [None, 7])
    def test_refuses_what_has_no_activity(self, activity):
        with pytest.raises(SettingsError, match=f"{activity} has no activity= option"):
            activity_task(activity, timeout_s=60)

    def test_refuses_a_task_without_an_activity(self, app):
        with pytest.raises(SettingsError, match="no activity= option"):
            activity_task(task_of(app, heartbeat=5), timeout_s=60)


class TestDefaultHeartbeat:
    @pytest.mark.parametrize(("beat_s", "expected"), [(10, 30), (1.1, 4), (0.1, 1), (15.0, 45)])
    def test_is_three_intervals_in_whole_seconds(self, app, beat_s, expected):
        of_task = activity_task(task_of(app, activity=ARN, heartbeat=beat_s), timeout_s=600)
        of_activity = activity_task(activity_of(app, beat_s), **HERE, timeout_s=600)
        assert of_task == of_activity
        assert of_task["HeartbeatSeconds"] == expected
        assert isinstance(of_task["HeartbeatSeconds"], int)

    def test_is_none_for_a_name(self):
        assert "HeartbeatSeconds" not in activity_task("resize", **HERE, timeout_s=60)

    def test_must_be_below_the_timeout(self, app):
        with pytest.raises(SettingsError, match=r"heartbeat_s=30 of activity 'resize' .* 31 or"):
            activity_task(activity_of(app), **HERE, timeout_s=30)

    def test_is_unknown_when_the_job_beats_itself(self, app):
        with pytest.raises(SettingsError, match=r"'manual'.*Give heartbeat_s"):
            activity_task(activity_of(app, manual=True), **HERE, timeout_s=60)

    def test_is_unknown_when_the_setting_counts(self, app):
        with pytest.raises(SettingsError, match="BRIDGE_HEARTBEAT_S"):
            activity_task(task_of(app, activity=ARN), timeout_s=60)

    def test_gives_way_to_a_given_one(self, app):
        state = activity_task(activity_of(app, manual=True), **HERE, timeout_s=60, heartbeat_s=7)
        assert state["HeartbeatSeconds"] == 7

    def test_zero_is_refused_and_not_taken_for_none(self, app):
        with pytest.raises(SettingsError, match="heartbeat_s=0 "):
            activity_task(activity_of(app), **HERE, timeout_s=60, heartbeat_s=0)


class TestRetry:
    def test_lost(self):
        assert retry_lost() == {
            "ErrorEquals": ["Bridge.WorkerLost", "States.Timeout", "States.HeartbeatTimeout"],
            "IntervalSeconds": 5,
            "BackoffRate": 2.0,
            "MaxAttempts": 3,
            "MaxDelaySeconds": 300,
            "JitterStrategy": "FULL",
        }

    def test_transient_with_a_pace(self):
        block = retry_transient(
            "A", "B", interval_s=1, backoff_rate=1.5, max_attempts=0, max_delay_s=9
        )
        assert block == {
            "ErrorEquals": ["A", "B"],
            "IntervalSeconds": 1,
            "BackoffRate": 1.5,
            "MaxAttempts": 0,
            "MaxDelaySeconds": 9,
            "JitterStrategy": "FULL",
        }

    def test_all(self):
        assert retry_all(max_attempts=1)["ErrorEquals"] == ["States.ALL"]

    @pytest.mark.parametrize(
        ("pace", "message"),
        [
            ({"interval_s": 0}, "interval_s=0 .* from 1"),
            ({"interval_s": 1.5}, "interval_s=1.5"),
            ({"max_attempts": -1}, "max_attempts=-1 .* from 0"),
            ({"max_delay_s": 31_622_400}, "max_delay_s=31622400 .* to 31622399"),
            ({"interval_s": 300}, "max_delay_s=300 is not above interval_s=300. Use 301"),
            ({"backoff_rate": 0.5}, "backoff_rate=0.5 .* Use 2.0"),
            ({"backoff_rate": float("nan")}, "backoff_rate=nan"),
            ({"backoff_rate": float("inf")}, "backoff_rate=inf"),
            ({"backoff_rate": "2"}, "backoff_rate='2'"),
        ],
    )
    def test_refuses_an_impossible_pace(self, pace, message):
        with pytest.raises(SettingsError, match=message):
            retry_lost(**pace)

    def test_refuses_an_unknown_pace(self):
        with pytest.raises(TypeError, match="jitter"):
            retry_all(jitter="NONE")


class TestErrors:
    @pytest.mark.parametrize("errors", [(), ("",), ("A", None)])
    def test_must_be_names(self, errors):
        for make in (retry_transient, lambda *names: catch(*names, next="S")):
            with pytest.raises(SettingsError, match=r"are no error names\. Give"):
                make(*errors)

    def test_all_stands_alone(self):
        for make in (retry_transient, lambda *names: catch(*names, next="S")):
            with pytest.raises(SettingsError, match=r"'A'.*Leave it alone"):
                make("A", "States.ALL")

    @pytest.mark.parametrize("raw", [["A", "States.ALL"], []])
    def test_blocks_of_others_are_checked(self, raw):
        with pytest.raises(SettingsError):
            activity_task(ARN, timeout_s=60, retry={"ErrorEquals": raw})

    def test_all_stands_last(self):
        with pytest.raises(SettingsError, match=r"retry: States\.ALL hides .* Put it last"):
            activity_task(ARN, timeout_s=60, retry=[retry_all(), retry_lost()])
        with pytest.raises(SettingsError, match=r"catch: States\.ALL hides .* Put it last"):
            activity_task(ARN, timeout_s=60, catch=[catch_all("S"), catch("A", next="S")])

    def test_all_may_stand_last(self):
        state = activity_task(ARN, timeout_s=60, retry=(retry_lost(), retry_all()))
        assert [block["ErrorEquals"][0] for block in state["Retry"]] == [
            "Bridge.WorkerLost",
            "States.ALL",
        ]


def test_catch_puts_the_error_beside_the_input():
    assert catch("A", "B", next="S") == {
        "ErrorEquals": ["A", "B"],
        "Next": "S",
        "ResultPath": "$.error",
    }
    assert catch_all("S", result_path=None) == {
        "ErrorEquals": ["States.ALL"],
        "Next": "S",
        "ResultPath": None,
    }


class TestEnvelope:
    def test_jsonpath(self):
        state = activity_task(ARN, timeout_s=60, with_context=True)
        assert "QueryLanguage" not in state
        assert state["Parameters"] == {
            "bridge": {
                "execution.$": "$$.Execution.Id",
                "execution_name.$": "$$.Execution.Name",
                "state.$": "$$.State.Name",
                "entered.$": "$$.State.EnteredTime",
                "retry_count.$": "$$.State.RetryCount",
                "state_machine.$": "$$.StateMachine.Id",
            },
            "input.$": "$",
        }

    def test_jsonata(self):
        state = activity_task(ARN, timeout_s=60, with_context=True, query_language="JSONata")
        assert state["QueryLanguage"] == "JSONata"
        assert "Parameters" not in state
        assert state["Arguments"] == {
            "bridge": {
                "execution": "{% $states.context.Execution.Id %}",
                "execution_name": "{% $states.context.Execution.Name %}",
                "state": "{% $states.context.State.Name %}",
                "entered": "{% $states.context.State.EnteredTime %}",
                "retry_count": "{% $states.context.State.RetryCount %}",
                "state_machine": "{% $states.context.StateMachine.Id %}",
            },
            "input": "{% $states.input %}",
        }


class TestJsonata:
    def state(self, **fields):
        return activity_task(ARN, timeout_s=60, query_language="JSONata", **fields)

    def test_result_paths_become_outputs(self):
        blocks = [
            catch("A", next="S"),
            catch("B", next="S", result_path="$"),
            catch_all("S", result_path=None),
        ]
        state = self.state(catch=blocks, result_path="$.out")
        assert "ResultPath" not in json.dumps(state)
        assert state["Output"] == '{% $merge([$states.input, {"out": $states.result}]) %}'
        assert [catcher.get("Output") for catcher in state["Catch"]] == [
            '{% $merge([$states.input, {"error": $states.errorOutput}]) %}',
            None,
            "{% $states.input %}",
        ]
        assert blocks[0] == catch("A", next="S")

    def test_none_drops_the_output(self):
        assert self.state(result_path=None)["Output"] == "{% $states.input %}"

    def test_leaves_the_output_alone(self):
        assert "Output" not in self.state()

    @pytest.mark.parametrize(
        "fields",
        [
            {"result_path": "$.a.b"},
            {"catch": catch_all("S", result_path="$.a.b")},
        ],
    )
    def test_refuses_deeper_paths(self, fields):
        with pytest.raises(SettingsError, match=r"'\$\.a\.b' .* \"\$\.name\" at most"):
            self.state(**fields)


class TestUnwrap:
    BRIDGE = {  # noqa: RUF012
        "execution": "arn:x",
        "execution_name": "x",
        "state": "S",
        "retry_count": 2,
        "entered": "2026-01-01T00:00:00Z",
        "state_machine": "arn:m",
    }

    def test_takes_the_envelope_off(self):
        event, context = unwrap({"bridge": self.BRIDGE, "input": {"a": 1}})
        assert event == {"a": 1}
        assert context == Context("arn:x", "x", "S", "2026-01-01T00:00:00Z", 2, "arn:m")

    def test_knows_what_activity_task_makes(self):
        made = activity_task(ARN, timeout_s=60, with_context=True, query_language="JSONata")
        event, context = unwrap(made["Arguments"])
        assert event == "{% $states.input %}"
        assert context is not None
        assert context.state_machine == "{% $states.context.StateMachine.Id %}"

    def test_leaves_the_rest_empty(self):
        assert unwrap({"bridge": {"execution": "x"}, "input": None}) == (None, Context("x"))

    def test_ignores_what_it_does_not_know(self):
        bridge = {"execution": "x", "later": 1, "state": 5, "retry_count": "many"}
        assert unwrap({"bridge": bridge, "input": 1}) == (1, Context("x"))

    @pytest.mark.parametrize(
        "event",
        [
            None,
            7,
            "text",
            [],
            {},
            {"bridge": BRIDGE},
            {"input": 1},
            {"bridge": {}, "input": 1},
            {"bridge": BRIDGE, "input": 1, "more": 2},
            {"bridge": ["execution"], "input": 1},
            {"bridge": {"execution": None}, "input": 1},
            {"bridge": "execution", "input": 1},
            {"Bridge": BRIDGE, "input": 1},
            [("bridge", BRIDGE), ("input", 1)],
        ],
    )
    def test_leaves_anything_else_as_it_is(self, event):
        same, context = unwrap(event)
        assert same is event
        assert context is None

    def test_context_is_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            Context("x").state = "S"


class TestStateMachine:
    DONE = {"Type": "Succeed"}  # noqa: RUF012

    def test_makes_a_definition(self):
        states = {"A": activity_task(ARN, timeout_s=60, next="B"), "B": self.DONE}
        made = state_machine("A", states, timeout_s=600, comment="why")
        assert made == {"Comment": "why", "StartAt": "A", "TimeoutSeconds": 600, "States": states}
        assert json.loads(json.dumps(made)) == made
        made["States"]["A"]["Next"] = "C"
        assert states["A"]["Next"] == "B"

    def test_follows_every_way(self):
        choice = {"Type": "Choice", "Choices": [{"Next": "B"}], "Default": "C"}
        task = activity_task(ARN, timeout_s=60, next="D", catch=catch_all("E"))
        states = {"A": choice, "B": task, "C": {"Type": "Pass", "Next": "A"}}
        states |= {"D": self.DONE, "E": self.DONE}
        assert list(state_machine("A", states, timeout_s=60)["States"]) == list("ABCDE")

    @pytest.mark.parametrize(
        "state",
        [
            {"Type": "Pass", "Next": "Z"},
            {"Type": "Choice", "Choices": [{"Next": "Z"}]},
            {"Type": "Choice", "Choices": [], "Default": "Z"},
            {"Type": "Task", "End": True, "Catch": [{"Next": "Z"}]},
        ],
    )
    def test_refuses_a_way_to_nowhere(self, state):
        with pytest.raises(SettingsError, match=r"'Z' is no state\. There are: A"):
            state_machine("A", {"A": state}, timeout_s=60)

    def test_refuses_a_start_at_nowhere(self):
        with pytest.raises(SettingsError, match="'Z' is no state"):
            state_machine("Z", {"A": self.DONE}, timeout_s=60)

    def test_refuses_what_nothing_leads_to(self):
        with pytest.raises(SettingsError, match="nothing leads to state 'B'"):
            state_machine("A", {"A": self.DONE, "B": self.DONE}, timeout_s=60)

    @pytest.mark.parametrize("name", ["", "x" * 81])
    def test_refuses_a_name_of_the_wrong_length(self, name):
        with pytest.raises(SettingsError, match="has not 1 to 80 characters"):
            state_machine(name, {name: self.DONE}, timeout_s=60)

    def test_refuses_a_timeout_that_is_no_second_count(self):
        with pytest.raises(SettingsError, match="timeout_s=0 "):
            state_machine("A", {"A": self.DONE}, timeout_s=0)


def test_the_how_to_runs():
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 4
    scope = {"__name__": "docs"}
    for block in blocks:
        # Not shared: Celery would give the example's task to the apps of all other tests.
        block = block.replace("@app.task(", "@app.task(shared=False, ")
        exec(compile(block, DOCS.name, "exec"), scope)
    assert scope["definition"]["States"]["Resize"]["HeartbeatSeconds"] == 45
