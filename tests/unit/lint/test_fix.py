"""``--fix`` adds members, and changes nothing else."""

from __future__ import annotations

import json

import pytest

from bridge.lint.files import Unreadable, parse, read_file
from bridge.lint.finding import Addition, Finding
from bridge.lint.fix import fixed
from bridge.lint.rules import NO_JITTER
from bridge.lint.run import Options, fix_file, lint_document
from tests.unit.lint.helpers import ACTIVITIES, ARN, CORPUS, clean

OPTIONS = Options(activities=ACTIVITIES)


def fix(text, *, yaml=False):
    document = parse("x", text, yaml=yaml)
    return fixed(document, lint_document(document, OPTIONS).findings)


class TestJson:
    def test_additions_are_spaced_like_their_neighbours(self):
        text = (CORPUS / "nested.asl.json").read_text()
        space = " " * 28
        resource = f'{space}"Resource": "{ARN}resize-image",\n'
        assert resource in text
        assert fix(text) == text.replace(resource, f'{resource}{space}"HeartbeatSeconds": 45,\n')

    def test_an_object_on_one_line_stays_on_one_line(self):
        definition = clean(Retry=[{"ErrorEquals": ["States.ALL"]}])
        made = fix(json.dumps(definition))
        assert '{"ErrorEquals": ["States.ALL"], "JitterStrategy": "FULL"}' in made

    def test_an_object_without_spaces_is_extended(self):
        made = fix(json.dumps(clean(HeartbeatSeconds=...), separators=(",", ":")))
        assert json.loads(made)["States"]["Encode"]["HeartbeatSeconds"] == 60

    def test_three_additions_at_once_leave_no_fixable_finding(self):
        definition = clean(
            HeartbeatSeconds=...,
            Retry=[{"ErrorEquals": ["Bridge.Rejected"]}, {"ErrorEquals": ["States.ALL"]}],
            Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Tell"}],
        )
        made = fix(json.dumps(definition, indent="\t"))
        state = json.loads(made)["States"]["Encode"]
        assert state["HeartbeatSeconds"] == 60
        assert [each["JitterStrategy"] for each in state["Retry"]] == ["FULL", "FULL"]
        assert state["Catch"][0]["ResultPath"] == "$.error"
        assert lint_document(parse("x", made), OPTIONS).findings == []
        assert fix(made) == made

    def test_state_names_that_need_escapes_are_found(self):
        definition = clean(HeartbeatSeconds=...)
        definition["States"]['a"b/c~\\ \u00e4{}[],:'] = definition["States"].pop("Encode")
        for ascii_ in (True, False):
            made = fix(json.dumps(definition, ensure_ascii=ascii_))
            assert lint_document(parse("x", made), OPTIONS).findings == []

    def test_line_ends_and_byte_order_mark_are_kept(self, tmp_path):
        path = tmp_path / "x.json"
        text = json.dumps(clean(HeartbeatSeconds=...), indent=2).replace("\n", "\r\n")
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert fix_file(path, OPTIONS).fixed == 1
        made = path.read_bytes()
        assert made.startswith(b"\xef\xbb\xbf{\r\n")
        assert made.count(b"\n") == made.count(b"\r\n") == text.count("\n") + 1


class TestYaml:
    def test_comments_stay_with_their_member(self):
        text = (CORPUS / "media.sam.yaml").read_text()
        made = fix(text, yaml=True)
        added = [line for line in made.splitlines() if line not in text.splitlines()]
        assert [line.strip() for line in added] == [
            "HeartbeatSeconds: 45",
            '- JitterStrategy: "FULL"',
            "ErrorEquals: [Bridge.WorkerLost, States.Timeout, States.HeartbeatTimeout]",
            'ResultPath: "$.error"',
        ]
        assert "            # Waiting for a worker counts.\n            TimeoutSeconds" in made
        assert "            # What the fleet serves\n            Resource" in made
        assert "              # Somebody looks at these.\n              - ErrorEquals" in made

    def test_an_anchor_is_fixed_once(self):
        text = (CORPUS / "mixed.asl.yaml").read_text().replace("        JitterStrategy: NONE\n", "")
        made = fix(text, yaml=True)
        assert made.count("JitterStrategy") == 1
        assert lint_document(parse("x", made, yaml=True), OPTIONS).findings == []

    def test_a_value_between_brackets_is_extended(self):
        text = json.dumps(clean(Retry=[{"ErrorEquals": ["States.ALL"]}]))
        assert '"JitterStrategy": "FULL", "ErrorEquals": ["States.ALL"]' in fix(text, yaml=True)


class TestNotSafe:
    def test_no_heartbeat_is_added_that_timeout_seconds_does_not_allow(self):
        for timeout in (60, "${Timeout}"):
            definition = clean(HeartbeatSeconds=..., TimeoutSeconds=timeout)
            text = json.dumps(definition)
            assert fix(text) == text

    @pytest.mark.parametrize("name", ["review", "unknown"])
    def test_no_heartbeat_is_added_when_the_interval_is_not_known(self, name):
        text = json.dumps(clean(HeartbeatSeconds=..., Resource=ARN + name))
        assert fix(text) == text

    @pytest.mark.parametrize("name", ["billing.cfn.yaml", "cdk.template.json"])
    def test_a_definition_string_is_not_changed(self, name):
        document = read_file(CORPUS / name)
        findings = lint_document(document, OPTIONS).findings
        assert fixed(document, findings) == document.text
        assert any("does not write into a DefinitionString" in each.fix for each in findings)

    def test_a_fix_that_would_change_more_is_refused(self):
        """With a duplicate key, the position that is found may not be that of the used value."""
        text = '{"A": {"x": 1}, "A": {"x": 1}}'
        document = parse("x", text)
        addition = Addition(to=("A",), key="y", value=2)
        finding = Finding(rule=NO_JITTER, at=(), message="", fix="", addition=addition)
        assert json.loads(fixed(document, [finding]))["A"] == {"x": 1, "y": 2}
        merged = "base: &b {x: 1}\nA:\n  <<: *b\n"
        with pytest.raises(Unreadable, match="an anchor defines the object"):
            fixed(parse("x", merged, yaml=True), [finding])
