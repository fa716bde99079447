"""Retry and Catch of an activity state."""

from __future__ import annotations

import pytest

from tests.unit.lint.helpers import LOST, clean, ids

ALL = {"ErrorEquals": ["States.ALL"], "JitterStrategy": "FULL"}


class TestRetry:
    @pytest.mark.parametrize(
        "retry",
        [
            [ALL],
            [{**ALL, "ErrorEquals": ["States.TaskFailed", "States.Timeout"]}],
            [{**ALL, "ErrorEquals": ["Bridge.WorkerLost", "States.Timeout"]}],
            [{"ErrorEquals": ["BadImage"], "MaxAttempts": 0}, ALL],
            [{**ALL, "ErrorEquals": ["States.TaskFailed"]}, ALL],
            [{**ALL, "ErrorEquals": LOST, "JitterStrategy": "${Jitter}"}],
        ],
    )
    def test_these_retriers_cover_lost_workers_and_timeouts(self, retry):
        assert ids(clean(Retry=retry)) == []

    def test_states_all_does_not_match_a_terminal_error(self):
        catch = [
            {"ErrorEquals": ["States.DataLimitExceeded"], "ResultPath": "$.e", "Next": "Tell"},
            {"ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": "Tell"},
        ]
        assert ids(clean(Catch=catch)) == []

    @pytest.mark.parametrize("broken", ["x", 3, None, [3], [{}], [{"ErrorEquals": "x"}], {}])
    def test_a_retry_that_is_not_a_list_of_objects_counts_as_missing(self, broken):
        assert "BR010" in ids(clean(Retry=broken, Catch=broken))


class TestCatch:
    def test_a_catch_into_a_fail_state_may_drop_the_input(self):
        definition = clean(Catch=[{"ErrorEquals": ["States.ALL"], "Next": "No"}])
        definition["States"]["No"] = {"Type": "Fail"}
        assert ids(definition) == []

    @pytest.mark.parametrize("path", ["$.Error", "$.Cause"])
    def test_a_catch_whose_error_is_read_later_may_drop_the_input(self, path):
        """Where later states read Error or Cause at the top, a ResultPath would break them."""
        definition = clean(Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Tell"}])
        definition["States"]["Tell"] = {"Type": "Pass", "Parameters": {"x.$": path}, "End": True}
        assert ids(definition) == []

    def test_an_explicit_result_path_is_accepted(self):
        for path in (None, "$"):
            catch = [{"ErrorEquals": ["States.ALL"], "ResultPath": path, "Next": "Tell"}]
            assert ids(clean(Catch=catch)) == []

    def test_a_jsonata_catch_needs_output_when_a_later_state_reads_the_input(self):
        definition = clean(
            QueryLanguage="JSONata",
            ResultPath=...,
            Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Tell"}],
        )
        assert ids(definition) == []
        definition["States"]["Tell"] = {
            "Type": "Pass",
            "QueryLanguage": "JSONata",
            "Output": "{% $states.input.x %}",
            "End": True,
        }
        assert ids(definition) == ["BR019"]
