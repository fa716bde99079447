"""What a Resource is taken for."""

from __future__ import annotations

import pytest

from bridge.lint.model import Known
from bridge.lint.resources import Kind, Resource, read
from tests.unit.lint.helpers import ARN, clean, ids, lint

PLACE = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:activity:"


@pytest.mark.parametrize(
    ("resource", "kind", "name", "region"),
    [
        (ARN + "encode", Kind.ACTIVITY, "encode", "eu-west-1"),
        (" " + ARN + "encode ", Kind.ACTIVITY, "encode", "eu-west-1"),
        ("arn:aws-cn:states:cn-north-1:123456789012:activity:ä", Kind.ACTIVITY, "ä", "cn-north-1"),
        (PLACE + "encode", Kind.ACTIVITY, "encode", None),
        (PLACE + "${Name}", Kind.ACTIVITY, None, None),
        (PLACE + "encode-${Stage}", Kind.ACTIVITY, None, None),
        ("arn:aws:states:eu-west-1:${Account}:activity:x", Kind.ACTIVITY, "x", "eu-west-1"),
        ({"Fn::Sub": PLACE + "encode"}, Kind.ACTIVITY, "encode", None),
        ({"Fn::Sub": [PLACE + "encode", {}]}, Kind.ACTIVITY, "encode", None),
        ({"Ref": "EncodeActivity"}, Kind.ACTIVITY, None, None),
        ("${encode_activity_arn}", Kind.ACTIVITY, None, None),
        ("${Activity}", Kind.ACTIVITY, None, None),
        ("${FunctionArn}", Kind.OTHER, None, None),
        ({"Fn::GetAtt": ["Function", "Arn"]}, Kind.OTHER, None, None),
        ({"Fn::ImportValue": "x"}, Kind.OTHER, None, None),
        ("arn:aws:states:::lambda:invoke", Kind.OTHER, None, None),
        ("arn:aws:states:::aws-sdk:sfn:describeActivity", Kind.OTHER, None, None),
        ("arn:aws:states:::states:startExecution", Kind.OTHER, None, None),
        ("arn:aws:lambda:eu-west-1:123456789012:function:activity", Kind.OTHER, None, None),
        (None, Kind.OTHER, None, None),
        ("", Kind.OTHER, None, None),
        ("arn:aws:states:eu-west-1:123456789012:stateMachine:x", Kind.MACHINE, None, None),
        ("arn:aws:states:${AWS::Region}:${A}:stateMachine:x", Kind.MACHINE, None, None),
        ("arn:aws:states:eu-west-1:12345:activity:x", Kind.MALFORMED, None, None),
        ("arn:aws:states:eu-west-1:123456789012:activity:", Kind.MALFORMED, None, None),
        ("arn:aws:states:eu-west-1:123456789012:activity", Kind.MALFORMED, None, None),
        ("arn:aws:states:eu-west-1:123456789012:activities:x", Kind.MALFORMED, None, None),
        ("arn:aws:states:eu-west-1:123456789012:activty:x", Kind.MALFORMED, None, None),
        ("arn:aws:states:::activity:x", Kind.MALFORMED, None, None),
        ("arn:aws:sates:eu-west-1:123456789012:activity:x", Kind.MALFORMED, None, None),
        ("arn:aws:states:eu-west-1:123456789012:activity:a b", Kind.MALFORMED, None, None),
        (ARN + "x" * 81, Kind.MALFORMED, None, None),
    ],
)
def test_kinds(resource, kind, name, region):
    found = read(resource)
    assert (found.kind, found.name, found.region) == (kind, name, region)


def test_a_template_says_what_a_placeholder_is():
    said = Resource(Kind.ACTIVITY, "${X}", "encode")
    assert read({"Ref": "X"}, {"X": said}.get) is said


@pytest.mark.parametrize(
    ("resource", "rule"),
    [
        ("arn:aws:states:eu-west-1:123456789012:stateMachine:encode", "BR022"),
        ("arn:aws:states:eu-west-1:12345:activity:encode", "BR021"),
    ],
)
def test_a_wrong_arn_is_the_only_finding_of_its_state(resource, rule):
    assert ids(clean(Resource=resource)) == [rule]


class TestRegistered:
    def test_a_misspelt_name_is_told_the_right_one(self):
        (finding,) = lint(clean(Resource=ARN + "enocde"))
        assert finding.fix == "Write 'encode', if that is meant."

    def test_by_its_arn(self):
        assert ids(clean(), activities={ARN + "encode": Known(20.0)}) == []
        assert ids(clean(Resource=PLACE + "encode"), activities={ARN + "encode": Known(20.0)}) == []

    def test_by_an_arn_of_another_account(self):
        other = ARN.replace("123456789012", "999999999999") + "encode"
        (finding,) = lint(clean(), activities={other: Known(20.0)})
        assert finding.rule.id == "BR020"
        assert finding.fix == "Check region and account."

    def test_a_placeholder_is_not_unknown(self):
        assert ids(clean(Resource="${EncodeActivity}")) == []

    def test_no_registry_knows_no_unknown(self):
        assert ids(clean(Resource=ARN + "whatever"), activities={}) == []


def test_any_region_will_do_while_the_machines_is_unknown():
    elsewhere = clean(Resource=(ARN + "encode").replace("eu-west-1", "us-east-1"))
    assert ids(elsewhere, region=None) == []
    assert ids(elsewhere, region="us-east-1") == []
