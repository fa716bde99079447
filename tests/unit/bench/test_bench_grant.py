"""The fleet whose grants the bench measures is as full as it says."""

from __future__ import annotations

import pytest

from bench.measures.grant import FILLS, measure
from bench.store_filler import settings_of
from bench.store_fleet import FleetShape, StoreFleet
from bridge.local.valkey import LocalValkey
from bridge.store import StatusReader

SMALL = FleetShape(workers=6, slots=2, queues=4, groups=3, activities=5)


@pytest.fixture(scope="module")
def valkey():
    with LocalValkey() as server:
        yield server


def test_claims_run_and_wait_where_the_fleet_has_slots(valkey):
    """12 slots: of 20 claims 12 run, on workers that serve their queues, and 8 wait."""
    settings = settings_of(valkey.url, "occupied")
    with StoreFleet(settings, SMALL) as ledger:
        names = list(ledger.activities)
        ledger.run_short(names)
        running = ledger.occupy(names, 20)
        reader = StatusReader(settings)
        status = reader.read(names)
        reader.close()
    assert running == 12
    assert sum(row.running for row in status.activities) == 12
    assert sum(row.queued for row in status.activities) == 8
    assert [worker.running for worker in status.workers] == [2] * 6


def test_a_worker_serves_two_groups_of_the_ring():
    """So that no two groups of queues have the same workers."""
    serving = {
        frozenset(n for n in range(SMALL.workers) if queue in SMALL.served(n))
        for queue in SMALL.queue_names()
    }
    assert len(serving) == SMALL.groups
    assert all(len(workers) == 4 for workers in serving)


def test_an_idle_fleet_grants_and_a_full_one_refuses():
    found = measure(SMALL, samples=3, say=lambda _: None)
    rows = {row["fill"]: row for row in found["rows"]}
    assert list(rows) == [fill.what for fill in FILLS]
    assert rows["idle fleet, two polls each wanted"]["granted"] > 0
    assert rows["full, one wanted on each"]["granted"] == 0
    assert rows["full, one wanted on each"]["refused"] == {"no room": 5}
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in found["rows"])
