"""All checks on one definition."""

from __future__ import annotations

import pytest

from tests.unit.lint.helpers import ACTIVITIES, ARN, CLEAN, REGION, ids, lint


class TestExpress:
    def test_an_activity_is_refused_when_the_type_is_express(self):
        assert ids(CLEAN, type_="EXPRESS") == ["BR009"]
        assert ids(CLEAN, type_="STANDARD") == []


def test_a_task_that_is_not_an_activity_has_no_findings():
    for resource in ("arn:aws:states:::lambda:invoke", "arn:aws:lambda:eu-west-1:1:function:f"):
        assert ids({"States": {"A": {"Type": "Task", "Resource": resource}}}) == []


def test_a_definition_of_bridge_statemachine_is_clean():
    """A definition made by the helpers for a registered activity has no findings."""
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
def test_malformed_definitions_are_passed_over(definition):
    assert ids(definition) == []
