"""What people look at."""

from __future__ import annotations

import pytest

from bridge.report import Overview
from bridge.store import ActivityStatus, Status

NOTHING = {"in_flight": 0, "queued": 0, "running": 0, "outbox": 0, "lost": 0, "polls": 0}


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({}, "created"),
        ({"polls": 2}, "polling"),
        ({"polls": 2, "succeeded": 5}, "polling"),
        ({"polls": 2, "in_flight": 1, "queued": 1, "oldest_s": 1.0}, "processing"),
        ({"in_flight": 1, "outbox": 1, "failed": 1}, "processing"),
        ({"succeeded": 1}, "idle"),
        ({"failed": 1}, "idle"),
    ],
)
def test_the_state_of_an_activity(counts, state):
    row = ActivityStatus("resize", **{**NOTHING, "oldest_s": None, **counts})
    (shown,) = Overview.of(Status([row], []), {}).as_json()["activities"]
    assert shown["state"] == state
