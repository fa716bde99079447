"""YAML with CloudFormation's short tags."""

from __future__ import annotations

from bridge.lint.files import parse


def test_short_tags_are_read_as_their_long_forms():
    text = "a: !Ref X\nb: !GetAtt X.Arn\nc: !Sub ['${Y}', {Y: 1}]\nd: !Join [',', [!Ref Z]]\n"
    assert parse("x", text).value == {
        "a": {"Ref": "X"},
        "b": {"Fn::GetAtt": ["X", "Arn"]},
        "c": {"Fn::Sub": ["${Y}", {"Y": 1}]},
        "d": {"Fn::Join": [",", [{"Ref": "Z"}]]},
    }
