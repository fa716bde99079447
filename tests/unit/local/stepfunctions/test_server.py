"""The server says why it did not start."""

from __future__ import annotations

import pytest

from bridge.local.stepfunctions import LocalStepFunctions, LocalStepFunctionsError


def test_a_taken_port_is_named():
    with (
        LocalStepFunctions() as first,
        pytest.raises(LocalStepFunctionsError, match=f"cannot listen on port {first.port}"),
    ):
        LocalStepFunctions(port=first.port).start()
