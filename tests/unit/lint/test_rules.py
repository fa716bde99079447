"""The catalogue of rules: each rule finds the faults that are planted here, and only those."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from bridge.lint.rules import RULES
from tests.unit.lint.helpers import ARN, CLEAN, LOST, clean, ids

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
def test_a_planted_fault_is_the_only_finding(rule, definition):
    assert ids(definition) == [rule]


def test_a_clean_definition_has_no_findings():
    assert ids(CLEAN) == []


def test_ids_are_stable_and_unique():
    assert [rule.id for rule in RULES] == [f"BR{number:03}" for number in range(1, len(RULES) + 1)]
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_the_docs_have_every_rule():
    text = (Path(__file__).parents[3] / "docs" / "lint.md").read_text("utf-8")
    assert [rule.id for rule in RULES] == re.findall(r"^\| (BR\d+) `", text, re.MULTILINE)
