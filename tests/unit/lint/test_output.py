"""The output formats: text, JSON, SARIF and annotations of GitHub."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from bridge.lint.files import read_file
from bridge.lint.output import FORMATS
from bridge.lint.run import Options, lint_document
from tests.unit.lint.helpers import ACTIVITIES, CORPUS

# What OASIS's schema of SARIF 2.1.0 demands of the parts that are written here.
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
LOCATION = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "physicalLocation": {
            "required": ["artifactLocation"],
            "properties": {
                "artifactLocation": {
                    "required": ["uri"],
                    "properties": {"uri": {"type": "string", "pattern": r"^[^\s\\<>\"{}|^`]+$"}},
                },
                "region": {"properties": {"startLine": {"type": "integer", "minimum": 1}}},
            },
        },
        "logicalLocations": {
            "type": "array",
            "items": {"properties": {"fullyQualifiedName": {"type": "string"}}},
        },
    },
}
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "required": ["tool"],
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "required": ["name"],
                                "properties": {
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "required": ["id"],
                                            "properties": {
                                                "shortDescription": TEXT,
                                                "fullDescription": TEXT,
                                                "help": TEXT,
                                                "defaultConfiguration": {
                                                    "properties": {"level": LEVEL}
                                                },
                                            },
                                        },
                                    }
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "required": ["message"],
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": -1},
                                "level": LEVEL,
                                "message": TEXT,
                                "locations": {"type": "array", "items": LOCATION},
                                "partialFingerprints": {"additionalProperties": {"type": "string"}},
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture(scope="module")
def findings():
    document = replace(read_file(CORPUS / "legacy.asl.json"), name="a b/legacy,1%.json")
    return lint_document(document, Options(activities=ACTIVITIES, region="eu-west-1")).findings


def test_text_has_place_rule_and_fix_of_each_finding(findings):
    lines = FORMATS["text"](findings, 1).splitlines()
    assert lines[0] == "a b/legacy,1%.json:1 /"
    assert lines[1].startswith("  BR005 warning: the state machine has no TimeoutSeconds.")
    assert lines[2].startswith("  fix: Add TimeoutSeconds")
    assert any(line.endswith("(--fix does it)") for line in lines)
    assert lines[-1] == "4 errors, 7 warnings, 3 infos in 1 state machine"


def test_json_has_every_field_and_a_summary(findings):
    made = json.loads(FORMATS["json"](findings, 1))
    assert made["summary"] == {"state_machines": 1, "error": 4, "warning": 7, "info": 3}
    assert len(made["findings"]) == 14
    assert set(made["findings"][0]) == {
        "rule",
        "name",
        "severity",
        "source",
        "line",
        "pointer",
        "message",
        "why",
        "fix",
        "fixable",
    }


def test_sarif_is_valid_and_fingerprints_are_unique(findings):
    made = json.loads(FORMATS["sarif"](findings, 1))
    Draft202012Validator(SARIF).validate(made)
    (run,) = made["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == 14
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert rules[result["ruleIndex"]]["defaultConfiguration"]["level"] == result["level"]
    prints = [result["partialFingerprints"]["ruleAndPointer/v1"] for result in run["results"]]
    assert len(set(prints)) == len(prints)
    location = run["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "a%20b/legacy%2C1%25.json"


def test_sarif_names_a_deployed_state_machine_by_its_arn(findings):
    arn = "arn:aws:states:eu-west-1:123456789012:stateMachine:x"
    made = json.loads(FORMATS["sarif"]([replace(findings[0], source=arn, line=None)], 1))
    (location,) = made["runs"][0]["results"][0]["locations"]
    assert location["physicalLocation"] == {"artifactLocation": {"uri": arn}}


def test_github_annotations_are_escaped_workflow_commands(findings):
    lines = FORMATS["github"](findings, 1).splitlines()
    assert len(lines) == 14
    assert lines[0].startswith(
        "::warning file=a b/legacy%2C1%25.json,line=1,title=BR005 no-machine-timeout::/: "
    )
    assert {line.split()[0] for line in lines} == {"::error", "::warning", "::notice"}


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_can_be_empty(form):
    made = FORMATS[form]([], 2)
    if form == "sarif":
        Draft202012Validator(SARIF).validate(json.loads(made))
    expected = {"text": "0 errors, 0 warnings, 0 infos in 2 state machines", "github": ""}
    assert made == expected.get(form, made)
