"""The Resource of a Task state: what it names, and what is wrong with it."""

from __future__ import annotations

import pytest

from bridge.lint.known import KnownActivity
from bridge.lint.resources import Resource, ResourceKind, read
from tests.unit.lint.helpers import ARN, clean, ids, lint

PLACE = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:activity:"


@pytest.mark.parametrize(
    ("resource", "kind", "name", "region"),
    [
        (ARN + "encode", ResourceKind.ACTIVITY, "encode", "eu-west-1"),
        (" " + ARN + "encode ", ResourceKind.ACTIVITY, "encode", "eu-west-1"),
        (
            "arn:aws-cn:states:cn-north-1:123456789012:activity:ä",
            ResourceKind.ACTIVITY,
            "ä",
            "cn-north-1",
        ),
        (PLACE + "encode", ResourceKind.ACTIVITY, "encode", None),
        (PLACE + "${Name}", ResourceKind.ACTIVITY, None, None),
        (PLACE + "encode-${Stage}", ResourceKind.ACTIVITY, None, None),
        ("arn:aws:states:eu-west-1:${Account}:activity:x", ResourceKind.ACTIVITY, "x", "eu-west-1"),
        ({"Fn::Sub": PLACE + "encode"}, ResourceKind.ACTIVITY, "encode", None),
        ({"Fn::Sub": [PLACE + "encode", {}]}, ResourceKind.ACTIVITY, "encode", None),
        ({"Ref": "EncodeActivity"}, ResourceKind.ACTIVITY, None, None),
        ("${encode_activity_arn}", ResourceKind.ACTIVITY, None, None),
        ("${Activity}", ResourceKind.ACTIVITY, None, None),
        ("${FunctionArn}", ResourceKind.OTHER, None, None),
        ({"Fn::GetAtt": ["Function", "Arn"]}, ResourceKind.OTHER, None, None),
        ({"Fn::ImportValue": "x"}, ResourceKind.OTHER, None, None),
        ("arn:aws:states:::lambda:invoke", ResourceKind.OTHER, None, None),
        ("arn:aws:states:::aws-sdk:sfn:describeActivity", ResourceKind.OTHER, None, None),
        ("arn:aws:states:::states:startExecution", ResourceKind.OTHER, None, None),
        ("arn:aws:lambda:eu-west-1:123456789012:function:activity", ResourceKind.OTHER, None, None),
        (None, ResourceKind.OTHER, None, None),
        ("", ResourceKind.OTHER, None, None),
        ("arn:aws:states:eu-west-1:123456789012:stateMachine:x", ResourceKind.MACHINE, None, None),
        ("arn:aws:states:${AWS::Region}:${A}:stateMachine:x", ResourceKind.MACHINE, None, None),
        ("arn:aws:states:eu-west-1:12345:activity:x", ResourceKind.MALFORMED, None, None),
        ("arn:aws:states:eu-west-1:123456789012:activity:", ResourceKind.MALFORMED, None, None),
        ("arn:aws:states:eu-west-1:123456789012:activity", ResourceKind.MALFORMED, None, None),
        ("arn:aws:states:eu-west-1:123456789012:activities:x", ResourceKind.MALFORMED, None, None),
        ("arn:aws:states:eu-west-1:123456789012:activty:x", ResourceKind.MALFORMED, None, None),
        ("arn:aws:states:::activity:x", ResourceKind.MALFORMED, None, None),
        ("arn:aws:sates:eu-west-1:123456789012:activity:x", ResourceKind.MALFORMED, None, None),
        ("arn:aws:states:eu-west-1:123456789012:activity:a b", ResourceKind.MALFORMED, None, None),
        (ARN + "x" * 81, ResourceKind.MALFORMED, None, None),
    ],
)
def test_a_resource_has_this_kind_name_and_region(resource, kind, name, region):
    found = read(resource)
    assert (found.kind, found.name, found.region) == (kind, name, region)


def test_a_template_says_what_a_placeholder_is():
    known = Resource(ResourceKind.ACTIVITY, "${X}", "encode")
    assert read({"Ref": "X"}, {"X": known}.get) is known


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
    def test_the_fix_of_a_misspelt_name_is_the_right_name(self):
        (finding,) = lint(clean(Resource=ARN + "enocde"))
        assert finding.fix == "Write 'encode', if that is meant."

    def test_an_activity_may_be_registered_by_its_arn(self):
        assert ids(clean(), activities={ARN + "encode": KnownActivity(20.0)}) == []
        assert (
            ids(clean(Resource=PLACE + "encode"), activities={ARN + "encode": KnownActivity(20.0)})
            == []
        )

    def test_an_arn_of_another_account_is_unknown(self):
        other = ARN.replace("123456789012", "999999999999") + "encode"
        (finding,) = lint(clean(), activities={other: KnownActivity(20.0)})
        assert finding.rule.id == "BR020"
        assert finding.fix == "Check region and account."

    def test_a_placeholder_is_not_reported_as_unknown(self):
        assert ids(clean(Resource="${EncodeActivity}")) == []

    def test_without_a_registry_no_activity_is_unknown(self):
        assert ids(clean(Resource=ARN + "whatever"), activities={}) == []


def test_any_region_is_accepted_while_that_of_the_state_machine_is_unknown():
    elsewhere = clean(Resource=(ARN + "encode").replace("eu-west-1", "us-east-1"))
    assert ids(elsewhere, region=None) == []
    assert ids(elsewhere, region="us-east-1") == []
