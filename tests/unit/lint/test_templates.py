"""State machines in templates of CloudFormation and SAM."""

from __future__ import annotations

import json

import pytest

from bridge.lint.files import parse
from bridge.lint.templates import machines
from tests.unit.lint.helpers import CLEAN, clean


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
    def test_every_way_to_write_a_definition_is_read(self, definition):
        (machine,) = machines(self.template(definition))
        assert machine.definition == CLEAN
        assert machine.type_ is None

    def test_the_type_is_read_from_the_template(self):
        (machine,) = machines(self.template({"Definition": CLEAN}, StateMachineType="EXPRESS"))
        assert machine.type_ == "EXPRESS"

    def test_a_placeholder_may_stand_for_a_number(self):
        text = json.dumps(clean(TimeoutSeconds="${T}", Comment="x ${T}")).replace('"${T}"', "${T}")
        (machine,) = machines(self.template({"DefinitionString": {"Fn::Sub": text}}))
        assert machine.definition == clean(TimeoutSeconds="${T}", Comment="x ${T}")

    def test_a_template_may_have_several_state_machines(self):
        resources = {
            name: {"Type": "AWS::Serverless::StateMachine", "Properties": {"Definition": CLEAN}}
            for name in ("A", "B")
        }
        found = machines(parse("t.json", json.dumps({"Resources": resources})))
        assert [each.base[1] for each in found] == ["A", "B"]
