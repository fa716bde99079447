"""Files of JSON and YAML, and the messages for files that cannot be linted."""

from __future__ import annotations

import pytest

from bridge.lint.files import Unreadable, read_file
from bridge.lint.templates import machines


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"a": 1,\n"b" 2}', "a.json:2: invalid JSON"),
        ("a.yaml", "a: [1\nb: 2", "a.yaml:2: invalid YAML"),
        ("a.yaml", "a: !!python/object:os.system {}", "invalid YAML"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.yaml", "a: &a [*a]", "neither a state machine|nested too deeply"),
        ("a.json", "[]", "is not an object"),
        ("a.yaml", "", "is not an object"),
        ("a.json", "{}", r"neither a state machine \(no States\) nor a template"),
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
            r"\(M\):1: invalid",
        ),
        (
            "a.yaml",
            "Resources: {M: {Type: AWS::StepFunctions::StateMachine, "
            "Properties: {DefinitionString: '3'}}}",
            r"\(M\) is not an object",
        ),
    ],
)
def test_the_message_says_why_a_file_cannot_be_linted(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(Unreadable, match=message):
        machines(read_file(path))


def test_a_missing_file_a_folder_and_bad_utf_8_are_unreadable(tmp_path):
    binary = tmp_path / "b.json"
    binary.write_bytes(b"\xff\xfe{")
    for path, message in ((tmp_path / "no", "No such"), (tmp_path, "directory"), (binary, "UTF-8")):
        with pytest.raises(Unreadable, match=message):
            read_file(path)
