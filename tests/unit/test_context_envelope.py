"""The envelope around a task's input, and the context in it."""

from __future__ import annotations

import dataclasses

import pytest

from bridge.context_envelope import Context, unwrap
from bridge.statemachine import activity_task

ARN = "arn:aws:states:us-east-1:123456789012:activity:resize"


class TestUnwrap:
    BRIDGE = {  # noqa: RUF012
        "execution": "arn:x",
        "execution_name": "x",
        "state": "S",
        "retry_count": 2,
        "entered": "2026-01-01T00:00:00Z",
        "state_machine": "arn:m",
    }

    def test_removes_the_envelope(self):
        event, context = unwrap({"bridge": self.BRIDGE, "input": {"a": 1}})
        assert event == {"a": 1}
        assert context == Context(**self.BRIDGE)

    def test_removes_the_envelope_of_activity_task(self):
        made = activity_task(ARN, timeout_s=60, with_context=True, query_language="JSONata")
        event, context = unwrap(made["Arguments"])
        assert event == "{% $states.input %}"
        assert context is not None
        assert context.state_machine == "{% $states.context.StateMachine.Id %}"

    def test_missing_fields_are_empty(self):
        assert unwrap({"bridge": {"execution": "x"}, "input": None}) == (None, Context("x"))

    def test_unknown_fields_and_wrong_types_are_ignored(self):
        bridge = {"execution": "x", "later": 1, "state": 5, "retry_count": "many"}
        assert unwrap({"bridge": bridge, "input": 1}) == (1, Context("x"))

    @pytest.mark.parametrize(
        "event",
        [
            None,
            7,
            "text",
            [],
            {},
            {"bridge": BRIDGE},
            {"input": 1},
            {"bridge": {}, "input": 1},
            {"bridge": BRIDGE, "input": 1, "more": 2},
            {"bridge": ["execution"], "input": 1},
            {"bridge": {"execution": None}, "input": 1},
            {"bridge": "execution", "input": 1},
            {"Bridge": BRIDGE, "input": 1},
            [("bridge", BRIDGE), ("input", 1)],
        ],
    )
    def test_an_event_without_an_envelope_is_returned_as_it_is(self, event):
        same, context = unwrap(event)
        assert same is event
        assert context is None

    def test_a_context_cannot_be_changed(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            Context("x").state = "S"
