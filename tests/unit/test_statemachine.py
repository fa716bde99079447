"""The helpers for Amazon States Language: what they build, and what they refuse."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from celery import Celery

from bridge.errors import SettingsError
from bridge.registry import Activity
from bridge.statemachine import (
    activity_task,
    catch,
    catch_all,
    retry_all,
    retry_lost,
    retry_transient,
    state_machine,
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
    def test_a_task_state_has_only_what_was_given(self):
        assert activity_task(ARN, timeout_s=60) == {
            "Type": "Task",
            "Resource": ARN,
            "TimeoutSeconds": 60,
            "End": True,
        }

    def test_a_task_state_can_have_every_field(self):
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
    def test_refuses_a_result_path_that_is_not_a_reference_path(self, path):
        with pytest.raises(SettingsError, match=r"result_path=.*\$\.error"):
            activity_task(ARN, timeout_s=60, result_path=path)

    def test_refuses_an_unknown_language(self):
        with pytest.raises(SettingsError, match="'jsonata' is neither"):
            activity_task(ARN, timeout_s=60, query_language="jsonata")


class TestSeconds:
    @pytest.mark.parametrize("value", [0, -1, 1.5, 60.0, "60", True, None, 100_000_000])
    def test_refuses_a_timeout_that_is_not_a_number_of_seconds(self, value):
        with pytest.raises(SettingsError, match=f"timeout_s={value!r} .* from 1 to 99999999"):
            activity_task(ARN, timeout_s=value)

    @pytest.mark.parametrize("value", [0, -1, 1.5, "60", False, 100_000_000])
    def test_refuses_a_heartbeat_that_is_not_a_number_of_seconds(self, value):
        with pytest.raises(SettingsError, match=f"heartbeat_s={value!r} .* from 1 to 99999999"):
            activity_task(ARN, timeout_s=99_999_999, heartbeat_s=value)

    def test_accepts_the_least_and_the_greatest_seconds(self):
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
    def test_refuses_a_name_without_region_or_account(self, where):
        with pytest.raises(SettingsError, match=r"valid ARN of activity 'resize'\. Give both"):
            activity_task("resize", **where, timeout_s=60)

    @pytest.mark.parametrize(("region", "partition"), PARTITIONS.items())
    def test_a_region_has_its_partition(self, region, partition):
        state = activity_task("resize", region=region, account="1" * 12, timeout_s=60)
        assert state["Resource"] == f"arn:{partition}:states:{region}:{'1' * 12}:activity:resize"

    @pytest.mark.parametrize("activity", ["re size", "arn:aws:lambda:x", ""])
    def test_refuses_a_malformed_activity(self, activity):
        with pytest.raises(SettingsError):
            activity_task(activity, **HERE, timeout_s=60)

    @pytest.mark.parametrize("activity", [None, 7])
    def test_refuses_an_object_without_an_activity(self, activity):
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

    def test_a_name_has_no_default_heartbeat(self):
        assert "HeartbeatSeconds" not in activity_task("resize", **HERE, timeout_s=60)

    def test_must_be_below_the_timeout(self, app):
        with pytest.raises(SettingsError, match=r"heartbeat_s=30 of activity 'resize' .* 31 or"):
            activity_task(activity_of(app), **HERE, timeout_s=30)

    def test_a_manual_heartbeat_gives_no_default(self, app):
        with pytest.raises(SettingsError, match=r"'manual'.*Give heartbeat_s"):
            activity_task(activity_of(app, manual=True), **HERE, timeout_s=60)

    def test_a_task_without_a_heartbeat_option_gives_no_default(self, app):
        with pytest.raises(SettingsError, match="BRIDGE_HEARTBEAT_S"):
            activity_task(task_of(app, activity=ARN), timeout_s=60)

    def test_a_given_heartbeat_wins_over_the_default(self, app):
        state = activity_task(activity_of(app, manual=True), **HERE, timeout_s=60, heartbeat_s=7)
        assert state["HeartbeatSeconds"] == 7

    def test_zero_is_refused_and_is_not_the_default(self, app):
        with pytest.raises(SettingsError, match="heartbeat_s=0 "):
            activity_task(activity_of(app), **HERE, timeout_s=60, heartbeat_s=0)


class TestRetry:
    def test_retry_lost_names_the_errors_of_lost_workers(self):
        assert retry_lost() == {
            "ErrorEquals": ["Bridge.WorkerLost", "States.Timeout", "States.HeartbeatTimeout"],
            "IntervalSeconds": 5,
            "BackoffRate": 2.0,
            "MaxAttempts": 3,
            "MaxDelaySeconds": 300,
            "JitterStrategy": "FULL",
        }

    def test_retry_transient_takes_every_option(self):
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

    def test_retry_all_matches_states_all(self):
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
    def test_refuses_impossible_retry_options(self, pace, message):
        with pytest.raises(SettingsError, match=message):
            retry_lost(**pace)

    def test_refuses_unknown_retry_options(self):
        with pytest.raises(TypeError, match="jitter"):
            retry_all(jitter="NONE")


class TestErrors:
    @pytest.mark.parametrize("errors", [(), ("",), ("A", None)])
    def test_error_names_must_be_text(self, errors):
        for make in (retry_transient, lambda *names: catch(*names, next="S")):
            with pytest.raises(SettingsError, match=r"are not error names\. Give"):
                make(*errors)

    def test_states_all_must_be_alone(self):
        for make in (retry_transient, lambda *names: catch(*names, next="S")):
            with pytest.raises(SettingsError, match=r"'A'.*Give it alone"):
                make("A", "States.ALL")

    @pytest.mark.parametrize("raw", [["A", "States.ALL"], []])
    def test_blocks_of_others_are_checked(self, raw):
        with pytest.raises(SettingsError):
            activity_task(ARN, timeout_s=60, retry={"ErrorEquals": raw})

    def test_states_all_must_be_last(self):
        with pytest.raises(SettingsError, match=r"retry: States\.ALL hides .* Put it last"):
            activity_task(ARN, timeout_s=60, retry=[retry_all(), retry_lost()])
        with pytest.raises(SettingsError, match=r"catch: States\.ALL hides .* Put it last"):
            activity_task(ARN, timeout_s=60, catch=[catch_all("S"), catch("A", next="S")])

    def test_states_all_may_be_last(self):
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
    def test_the_jsonpath_envelope(self):
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

    def test_the_jsonata_envelope(self):
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

    def test_none_as_result_path_keeps_the_input_in_jsonata(self):
        assert self.state(result_path=None)["Output"] == "{% $states.input %}"

    def test_the_whole_output_needs_no_output_field(self):
        assert "Output" not in self.state()

    @pytest.mark.parametrize(
        "fields",
        [
            {"result_path": "$.a.b"},
            {"catch": catch_all("S", result_path="$.a.b")},
        ],
    )
    def test_refuses_deeper_paths(self, fields):
        with pytest.raises(SettingsError, match=r"'\$\.a\.b' .* \"\$\.name\""):
            self.state(**fields)


class TestStateMachine:
    DONE = {"Type": "Succeed"}  # noqa: RUF012

    def test_makes_a_definition_with_a_comment(self):
        states = {"A": activity_task(ARN, timeout_s=60, next="B"), "B": self.DONE}
        made = state_machine("A", states, timeout_s=600, comment="why")
        assert made == {"Comment": "why", "StartAt": "A", "TimeoutSeconds": 600, "States": states}
        assert json.loads(json.dumps(made)) == made
        made["States"]["A"]["Next"] = "C"
        assert states["A"]["Next"] == "B"

    def test_every_kind_of_transition_reaches_a_state(self):
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
    def test_refuses_a_transition_to_a_missing_state(self, state):
        with pytest.raises(SettingsError, match=r"'Z' is not a state\. The states are: A"):
            state_machine("A", {"A": state}, timeout_s=60)

    def test_refuses_a_missing_first_state(self):
        with pytest.raises(SettingsError, match="'Z' is not a state"):
            state_machine("Z", {"A": self.DONE}, timeout_s=60)

    def test_refuses_a_state_that_cannot_be_reached(self):
        with pytest.raises(SettingsError, match="no state leads to 'B'"):
            state_machine("A", {"A": self.DONE, "B": self.DONE}, timeout_s=60)

    @pytest.mark.parametrize("name", ["", "x" * 81])
    def test_refuses_a_name_of_the_wrong_length(self, name):
        with pytest.raises(SettingsError, match="characters, not 1 to 80"):
            state_machine(name, {name: self.DONE}, timeout_s=60)

    def test_refuses_a_timeout_that_is_not_a_number_of_seconds(self):
        with pytest.raises(SettingsError, match="timeout_s=0 "):
            state_machine("A", {"A": self.DONE}, timeout_s=0)


def test_the_code_of_the_guide_runs():
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 4
    scope = {"__name__": "docs"}
    for block in blocks:
        # Not shared: Celery would give the example's task to the apps of all other tests.
        block = block.replace("@app.task(", "@app.task(shared=False, ")
        exec(compile(block, DOCS.name, "exec"), scope)
    assert scope["definition"]["States"]["Resize"]["HeartbeatSeconds"] == 45
