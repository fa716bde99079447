"""Reading: JSON and YAML, lines, templates; and what is said of a file that is none."""

from __future__ import annotations

import json

import pytest

from bridge.lint.files import Unreadable, parse, read_file
from bridge.lint.json_marks import json_marks
from bridge.lint.templates import machines
from tests.unit.lint.helpers import CLEAN, clean


def test_marks_of_json():
    text = '{\n  "a": [1,\n {"b c": "}\\""}],\n "d": {}}\n'
    marks = json_marks(text)
    lines = {at: mark.line for at, mark in marks.items()}
    assert lines == {(): 1, ("a",): 2, ("a", 0): 2, ("a", 1): 3, ("a", 1, "b c"): 3, ("d",): 4}
    assert text[marks["a", 1, "b c"].start : marks["a", 1, "b c"].end] == '"b c": "}\\""'


def test_short_tags_are_their_long_forms():
    text = "a: !Ref X\nb: !GetAtt X.Arn\nc: !Sub ['${Y}', {Y: 1}]\nd: !Join [',', [!Ref Z]]\n"
    assert parse("x", text).value == {
        "a": {"Ref": "X"},
        "b": {"Fn::GetAtt": ["X", "Arn"]},
        "c": {"Fn::Sub": ["${Y}", {"Y": 1}]},
        "d": {"Fn::Join": [",", [{"Ref": "Z"}]]},
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", '{"a": 1,\n"b" 2}', "a.json:2: no valid JSON"),
        ("a.yaml", "a: [1\nb: 2", "a.yaml:2: no valid YAML"),
        ("a.yaml", "a: !!python/object:os.system {}", "no valid YAML"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.yaml", "a: &a [*a]", "holds no state machine|nested too deeply|no template"),
        ("a.json", "[]", "holds no object"),
        ("a.yaml", "", "holds no object"),
        ("a.json", "{}", r"no state machine \(no States\) and no template"),
        ("a.yaml", "Resources: {}", "a template without a state machine"),
        (
            "a.yaml",
            "Resources: {M: {Type: AWS::Serverless::StateMachine, "
            "Properties: {DefinitionUri: m.asl.json}}}",
            "the definition of M is in another file",
        ),
        (
            "a.yaml",
            "Resources: {M: {Type: AWS::StepFunctions::StateMachine, "
            "Properties: {DefinitionString: '{'}}}",
            r"\(M\):1: no valid",
        ),
        (
            "a.yaml",
            "Resources: {M: {Type: AWS::StepFunctions::StateMachine, "
            "Properties: {DefinitionString: '3'}}}",
            r"\(M\) holds no object",
        ),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(Unreadable, match=said):
        machines(read_file(path))


def test_no_file_a_folder_and_no_utf_8(tmp_path):
    binary = tmp_path / "b.json"
    binary.write_bytes(b"\xff\xfe{")
    for path, said in ((tmp_path / "no", "No such"), (tmp_path, "directory"), (binary, "UTF-8")):
        with pytest.raises(Unreadable, match=said):
            read_file(path)


class TestTemplates:
    def template(self, definition, **properties):
        machine = {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {**definition, **properties},
        }
        return parse("t.json", json.dumps({"Resources": {"M": machine, "N": {"Type": "X"}}}))

    @pytest.mark.parametrize(
        "definition",
        [
            {"Definition": CLEAN},
            {"DefinitionString": json.dumps(CLEAN)},
            {"DefinitionString": {"Fn::Sub": json.dumps(CLEAN)}},
            {"DefinitionString": {"Fn::Sub": [json.dumps(CLEAN), {}]}},
            {
                "DefinitionString": {
                    "Fn::Join": ["", [json.dumps(CLEAN)[:50], json.dumps(CLEAN)[50:]]]
                }
            },
        ],
    )
    def test_every_way_to_write_a_definition(self, definition):
        (machine,) = machines(self.template(definition))
        assert machine.definition == CLEAN
        assert machine.type_ is None

    def test_type(self):
        (machine,) = machines(self.template({"Definition": CLEAN}, StateMachineType="EXPRESS"))
        assert machine.type_ == "EXPRESS"

    def test_a_placeholder_for_a_number(self):
        text = json.dumps(clean(TimeoutSeconds="${T}", Comment="x ${T}")).replace('"${T}"', "${T}")
        (machine,) = machines(self.template({"DefinitionString": {"Fn::Sub": text}}))
        assert machine.definition == clean(TimeoutSeconds="${T}", Comment="x ${T}")

    def test_several_in_one_template(self):
        resources = {
            name: {"Type": "AWS::Serverless::StateMachine", "Properties": {"Definition": CLEAN}}
            for name in ("A", "B")
        }
        found = machines(parse("t.json", json.dumps({"Resources": resources})))
        assert [each.base[1] for each in found] == ["A", "B"]
