"""Each rule finds its fault, that one only, and lets the like of it pass."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from bridge.lint.matching import REPORTED
from bridge.lint.model import Known
from bridge.lint.rules import RULES, rules_table
from tests.unit.lint.helpers import ACTIVITIES, ARN, CLEAN, LOST, REGION, clean, ids, lint

ALL = {"ErrorEquals": ["States.ALL"], "JitterStrategy": "FULL"}
PLANTED = {
    "BR001": [clean(HeartbeatSeconds=...)],
    "BR002": [clean(HeartbeatSeconds=20), clean(HeartbeatSeconds=1)],
    "BR003": [clean(HeartbeatSeconds=59), clean(HeartbeatSeconds=21)],
    "BR004": [clean(TimeoutSeconds=...)],
    "BR005": [{key: value for key, value in CLEAN.items() if key != "TimeoutSeconds"}],
    "BR006": [
        clean(HeartbeatSeconds=7200),
        clean(HeartbeatSeconds=7201),
    ],
    "BR007": [clean(TimeoutSeconds=3600), clean(TimeoutSeconds=600)],
    "BR010": [
        clean(Retry=...),
        clean(Retry=[]),
        clean(Retry=[{**ALL, "ErrorEquals": ["ValueError"]}]),
        clean(Retry=[{**ALL, "ErrorEquals": ["States.Timeout"]}]),
        clean(Retry=[{**ALL, "ErrorEquals": ["Bridge.WorkerLost"]}]),
    ],
    "BR011": [
        clean(Retry=[{**ALL, "ErrorEquals": ["States.TaskFailed"]}]),
        clean(Retry=[{**ALL, "ErrorEquals": ["Bridge.WorkerLost", "States.HeartbeatTimeout"]}]),
    ],
    "BR012": [
        clean(Retry=[{"ErrorEquals": LOST, "MaxAttempts": 0}]),
        clean(Retry=[{"ErrorEquals": ["States.Timeout"], "MaxAttempts": 0}, ALL]),
    ],
    "BR013": [
        clean(Retry=[{"ErrorEquals": LOST}]),
        clean(Retry=[{"ErrorEquals": LOST, "JitterStrategy": "NONE"}]),
    ],
    "BR014": [
        clean(Catch=[{"ErrorEquals": [name], "ResultPath": "$.e", "Next": "Tell"}])
        for name in ("Bridge.WorkerLots", "bridge.WorkerLost", "Bridge.Unheard", "Bridge.")
    ]
    + [clean(Retry=[{**ALL, "ErrorEquals": ["Bridge.Workerlost", *LOST[1:]]}])],
    "BR015": [
        clean(Catch=[{"ErrorEquals": [name], "ResultPath": "$.e", "Next": "Tell"}])
        for name in ("WorkerLostError", "TimeLimitExceeded", "States.TimeOut", "States.Taskfailed")
    ],
    "BR016": [
        clean(Catch=[{"ErrorEquals": ["Bridge.Cancelled"], "ResultPath": "$.e", "Next": "Tell"}])
    ],
    "BR017": [
        clean(Retry=[{**ALL, "ErrorEquals": ["States.ALL", "ValueError"]}]),
        clean(Retry=[ALL, {**ALL, "ErrorEquals": ["ValueError"]}]),
    ],
    "BR018": [
        clean(
            Retry=[
                {**ALL, "ErrorEquals": ["States.TaskFailed", "States.Timeout"]},
                {**ALL, "ErrorEquals": ["Bridge.WorkerLost", "ValueError"]},
            ]
        ),
        clean(
            Catch=[
                {"ErrorEquals": ["A", "B"], "ResultPath": "$.e", "Next": "Tell"},
                {"ErrorEquals": ["B"], "ResultPath": "$.e", "Next": "Tell"},
            ]
        ),
    ],
    "BR019": [clean(Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Tell"}])],
    "BR020": [clean(Resource=ARN + "encod"), clean(Resource=ARN + "unheard-of")],
    "BR023": [clean(Resource=(ARN + "encode").replace("eu-west-1", "us-east-1"))],
    "BR024": [
        {
            **copy.deepcopy(CLEAN),
            "States": {
                **clean(Next="Wait")["States"],
                "Wait": {"Type": "Wait", "Seconds": 9, "Next": "Encode"},
            },
        },
    ],
}
CASES = [(rule, each) for rule, planted in PLANTED.items() for each in planted]


@pytest.mark.parametrize(("rule", "definition"), CASES)
def test_a_planted_fault_is_found_and_nothing_else(rule, definition):
    assert ids(definition) == [rule]


def test_a_clean_definition_has_no_findings():
    assert ids(CLEAN) == []


def test_ids_are_stable_and_unique():
    assert [rule.id for rule in RULES] == [f"BR{number:03}" for number in range(1, 25)]
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_names_of_errors_are_those_of_the_documentation():
    endings = Path(__file__).parents[3] / "docs" / "endings.md"
    assert set(re.findall(r"`(Bridge\.\w+)`", endings.read_text())) == REPORTED


class TestTimeouts:
    @pytest.mark.parametrize(
        "fields",
        [
            {"HeartbeatSeconds": ..., "HeartbeatSecondsPath": "$.beat"},
            {"TimeoutSeconds": ..., "TimeoutSecondsPath": "$.patience"},
            {"HeartbeatSeconds": "{% $states.input.beat %}", "QueryLanguage": "JSONata"},
            {"TimeoutSeconds": "{% 60 * 60 %}", "QueryLanguage": "JSONata"},
            {"HeartbeatSeconds": "${Heartbeat}"},
        ],
    )
    def test_expressions_are_there_and_unknown(self, fields):
        fields = {"ResultPath": ..., "Catch": ..., **fields}
        assert ids(clean(**fields)) == []

    def test_a_job_that_beats_itself_is_not_measured_by_its_interval(self):
        definition = clean(Resource=ARN + "review", HeartbeatSeconds=11)
        assert ids(definition) == []

    def test_of_an_unknown_activity_only_what_stands_there_counts(self):
        assert ids(clean(HeartbeatSeconds=1), activities={}) == []

    def test_the_message_has_the_numbers(self):
        (finding,) = lint(clean(HeartbeatSeconds=30))
        assert finding.message == (
            "HeartbeatSeconds=30, and the task of state 'Encode' sends a heartbeat every 20 s."
        )
        assert finding.fix == "Use 60 or more, or heartbeat=10 at the task."
        assert finding.pointer == "/States/Encode/HeartbeatSeconds"

    def test_visibility_timeout_below_the_time_limit(self):
        assert ids(CLEAN, visibility_timeout_s=3599.0) == ["BR008"]
        assert ids(CLEAN, visibility_timeout_s=3600.0) == []
        assert ids(CLEAN, activities={"encode": Known(20.0)}, visibility_timeout_s=1.0) == []


class TestExpress:
    def test_a_known_type(self):
        assert ids(CLEAN, type_="EXPRESS") == ["BR009"]
        assert ids(CLEAN, type_="STANDARD") == []


class TestRetry:
    @pytest.mark.parametrize(
        "retry",
        [
            [ALL],
            [{**ALL, "ErrorEquals": ["States.TaskFailed", "States.Timeout"]}],
            [{**ALL, "ErrorEquals": ["Bridge.WorkerLost", "States.Timeout"]}],
            [{"ErrorEquals": ["BadImage"], "MaxAttempts": 0}, ALL],
            [{**ALL, "ErrorEquals": ["States.TaskFailed"]}, ALL],
            [{**ALL, "ErrorEquals": LOST, "JitterStrategy": "${Jitter}"}],
        ],
    )
    def test_enough(self, retry):
        assert ids(clean(Retry=retry)) == []

    def test_no_wildcard_matches_what_is_terminal(self):
        catch = [
            {"ErrorEquals": ["States.DataLimitExceeded"], "ResultPath": "$.e", "Next": "Tell"},
            {"ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": "Tell"},
        ]
        assert ids(clean(Catch=catch)) == []

    @pytest.mark.parametrize("broken", ["x", 3, None, [3], [{}], [{"ErrorEquals": "x"}], {}])
    def test_what_is_no_list_of_objects_is_no_retry(self, broken):
        assert "BR010" in ids(clean(Retry=broken, Catch=broken))


class TestCatch:
    def test_into_a_fail_state_needs_no_input(self):
        definition = clean(Catch=[{"ErrorEquals": ["States.ALL"], "Next": "No"}])
        definition["States"]["No"] = {"Type": "Fail"}
        assert ids(definition) == []

    @pytest.mark.parametrize("path", ["$.Error", "$.Cause"])
    def test_whose_error_is_read_is_meant(self, path):
        """Where later states read Error or Cause at the top, a ResultPath would break them."""
        definition = clean(Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Tell"}])
        definition["States"]["Tell"] = {"Type": "Pass", "Parameters": {"x.$": path}, "End": True}
        assert ids(definition) == []

    def test_with_result_path_null_or_whole_is_meant(self):
        for path in (None, "$"):
            catch = [{"ErrorEquals": ["States.ALL"], "ResultPath": path, "Next": "Tell"}]
            assert ids(clean(Catch=catch)) == []

    def test_of_jsonata_without_output(self):
        definition = clean(
            QueryLanguage="JSONata",
            ResultPath=...,
            Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Tell"}],
        )
        assert ids(definition) == []
        definition["States"]["Tell"] = {
            "Type": "Pass",
            "QueryLanguage": "JSONata",
            "Output": "{% $states.input.x %}",
            "End": True,
        }
        assert ids(definition) == ["BR019"]


class TestGrowth:
    def loop(self, **fields):
        definition = clean(Next="Wait", **fields)
        definition["States"]["Wait"] = {"Type": "Wait", "Seconds": 9, "Next": "Encode"}
        return definition

    @pytest.mark.parametrize(
        "fields",
        [
            {"ResultSelector": {"key.$": "$.key"}},
            {"ResultPath": None},
            {"ResultPath": "$"},
            {"ResultPath": ...},
            {"Parameters": {"key.$": "$.key"}},
            {"InputPath": "$.video"},
            {"OutputPath": "$.encoded"},
        ],
    )
    def test_no_growth(self, fields):
        assert ids(self.loop(**fields)) == []

    def test_a_merge_of_jsonata(self):
        grown = "{% $merge([$states.input, {'encoded': $states.result}]) %}"
        fields = {"QueryLanguage": "JSONata", "ResultPath": ..., "Catch": ...}
        assert ids(self.loop(Output=grown, **fields)) == ["BR024"]
        small = grown.replace("$states.result", "$states.result.key")
        assert ids(self.loop(Output=small, **fields)) == []

    @pytest.mark.parametrize(
        ("outer", "found"),
        [({}, ["BR024"]), ({"ResultPath": None}, []), ({"ResultSelector": {"n.$": "$.n"}}, [])],
    )
    def test_every_item_of_a_map(self, outer, found):
        inner = {key: CLEAN[key] for key in ("StartAt", "States")}
        definition = {
            "StartAt": "Each",
            "TimeoutSeconds": 9000,
            "States": {"Each": {"Type": "Map", "ItemProcessor": inner, "End": True, **outer}},
        }
        assert ids(definition) == found


def test_what_is_no_activity_is_none_of_our_business():
    for resource in ("arn:aws:states:::lambda:invoke", "arn:aws:lambda:eu-west-1:1:function:f"):
        assert ids({"States": {"A": {"Type": "Task", "Resource": resource}}}) == []


def test_a_definition_of_bridge_statemachine_is_clean():
    """What our own helper makes for a registered activity leaves nothing to say."""
    from bridge.statemachine import activity_task, catch_all, retry_lost, state_machine

    encode = activity_task(
        ARN + "encode",
        timeout_s=7200,
        heartbeat_s=60,
        retry=retry_lost(),
        catch=catch_all("Report"),
        result_path="$.encoded",
        next="Done",
    )
    ends = {"Done": {"Type": "Succeed"}, "Report": {"Type": "Fail", "CausePath": "$.error.Cause"}}
    definition = state_machine("Encode", {"Encode": encode, **ends}, timeout_s=9000)
    assert lint(definition, activities=ACTIVITIES, region=REGION) == []


@pytest.mark.parametrize(
    "definition",
    [
        {},
        {"States": []},
        {"States": {"A": 3}},
        {"States": {"A": {"Type": "Task"}}},
        {"States": {"A": {"Type": "Task", "Resource": 3}}},
        {"States": {"A": {"Type": "Map", "Iterator": 3, "Branches": {"x": 1}}}},
        {"States": {"A": {"Type": "Parallel", "Branches": [3, {"States": None}]}}},
    ],
)
def test_nonsense_is_passed_over(definition):
    assert ids(definition) == []


def test_the_docs_have_every_rule():
    text = (Path(__file__).parents[3] / "docs" / "lint.md").read_text("utf-8")
    assert rules_table() in text
