"""What ``status`` tells programs: activities, workers, totals."""

from __future__ import annotations

import pytest

from bridge.cli.status.overview import Overview
from bridge.store import ActivityStatus, Status
from tests.unit.cli.status.fleet import BEAT, DRAINS, LOST, WORKER, overview

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
    (found,) = Overview.of(Status([row], []), {}).as_json()["activities"]
    assert found["state"] == state


class TestJson:
    def test_of_an_activity_it_has_each_kind_of_claim_and_poll(self):
        (row,) = overview(WORKER, DRAINS).as_json()["activities"]
        assert row == {
            "activity": "resize-image",
            "state": "processing",
            "in_flight": 9,
            "queued": 6,
            "waiting": 3,
            "countdown": 2,
            "held_back": 1,
            "running": 2,
            "slots": 4,
            "polls": 3,
            "fresh": 2,
            "idle": 1,
            "oldest_s": 42.1,
            "longest_s": 0.02,
            "outbox": 1,
            "lost": 0,
            "succeeded": 1804,
            "failed": 0,
        }

    def test_of_a_worker_it_has_what_occupies_its_slots(self):
        (worker,) = overview(WORKER).as_json()["workers"]
        assert worker == {
            "worker": "celery@one#1f2e",
            "slots": 4,
            "running": 2,
            "ordinary": 1,
            "unwanted": 0,
            "offered": 3,
            "used": 2,
            "free": 1,
            "fetches": True,
            "queues": ["celery"],
            "lease_s": 10.0,
        }

    def test_totals_are_of_live_workers_of_users(self):
        totals = overview(WORKER, DRAINS, LOST, BEAT).as_json()["totals"]
        assert (totals["waiting"], totals["countdown"], totals["held_back"]) == (3, 2, 1)
        assert (totals["fresh"], totals["idle"], totals["polls"]) == (2, 1, 3)
        occupancy = {key: totals[key] for key in ("slots", "claims", "ordinary", "free")}
        assert occupancy == {"slots": 4, "claims": 2, "ordinary": 1, "free": 1}
