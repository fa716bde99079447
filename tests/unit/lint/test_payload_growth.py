"""States that add their result to their input again and again."""

from __future__ import annotations

import pytest

from tests.unit.lint.helpers import CLEAN, clean, ids


class TestGrowth:
    def loop(self, **fields):
        definition = clean(Next="Wait", **fields)
        definition["States"]["Wait"] = {"Type": "Wait", "Seconds": 9, "Next": "Encode"}
        return definition

    @pytest.mark.parametrize(
        "fields",
        [
            {"ResultSelector": {"key.$": "$.key"}},
            {"ResultPath": None},
            {"ResultPath": "$"},
            {"ResultPath": ...},
            {"Parameters": {"key.$": "$.key"}},
            {"InputPath": "$.video"},
            {"OutputPath": "$.encoded"},
        ],
    )
    def test_a_loop_that_keeps_only_one_of_input_and_result_is_clean(self, fields):
        assert ids(self.loop(**fields)) == []

    def test_a_jsonata_merge_in_a_loop_grows(self):
        grown = "{% $merge([$states.input, {'encoded': $states.result}]) %}"
        fields = {"QueryLanguage": "JSONata", "ResultPath": ..., "Catch": ...}
        assert ids(self.loop(Output=grown, **fields)) == ["BR024"]
        small = grown.replace("$states.result", "$states.result.key")
        assert ids(self.loop(Output=small, **fields)) == []

    @pytest.mark.parametrize(
        ("outer", "found"),
        [({}, ["BR024"]), ({"ResultPath": None}, []), ({"ResultSelector": {"n.$": "$.n"}}, [])],
    )
    def test_a_map_that_keeps_the_output_of_its_items_grows(self, outer, found):
        inner = {key: CLEAN[key] for key in ("StartAt", "States")}
        definition = {
            "StartAt": "Each",
            "TimeoutSeconds": 9000,
            "States": {"Each": {"Type": "Map", "ItemProcessor": inner, "End": True, **outer}},
        }
        assert ids(definition) == found
