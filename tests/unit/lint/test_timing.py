"""Time-outs and heartbeats of a state, against the options of its task."""

from __future__ import annotations

import pytest

from bridge.lint.known import KnownActivity
from tests.unit.lint.helpers import ARN, CLEAN, clean, ids, lint


class TestTimeouts:
    @pytest.mark.parametrize(
        "fields",
        [
            {"HeartbeatSeconds": ..., "HeartbeatSecondsPath": "$.beat"},
            {"TimeoutSeconds": ..., "TimeoutSecondsPath": "$.patience"},
            {"HeartbeatSeconds": "{% $states.input.beat %}", "QueryLanguage": "JSONata"},
            {"TimeoutSeconds": "{% 60 * 60 %}", "QueryLanguage": "JSONata"},
            {"HeartbeatSeconds": "${Heartbeat}"},
        ],
    )
    def test_a_field_with_an_expression_counts_as_present(self, fields):
        fields = {"ResultPath": ..., "Catch": ..., **fields}
        assert ids(clean(**fields)) == []

    def test_a_manual_heartbeat_is_not_compared_with_the_interval(self):
        definition = clean(Resource=ARN + "review", HeartbeatSeconds=11)
        assert ids(definition) == []

    def test_heartbeat_seconds_of_an_unknown_activity_are_not_judged(self):
        assert ids(clean(HeartbeatSeconds=1), activities={}) == []

    def test_the_message_and_the_fix_have_the_numbers(self):
        (finding,) = lint(clean(HeartbeatSeconds=30))
        assert finding.message == (
            "HeartbeatSeconds=30, and the task of state 'Encode' sends a heartbeat every 20 s."
        )
        assert finding.fix == "Use 60 or more, or set heartbeat=10 on the task."
        assert finding.pointer == "/States/Encode/HeartbeatSeconds"

    def test_a_visibility_timeout_below_the_time_limit_is_reported(self):
        assert ids(CLEAN, visibility_timeout_s=3599.0) == ["BR008"]
        assert ids(CLEAN, visibility_timeout_s=3600.0) == []
        assert (
            ids(CLEAN, activities={"encode": KnownActivity(20.0)}, visibility_timeout_s=1.0) == []
        )
