"""The fleet that the bench puts into a store, and how full it is."""

from __future__ import annotations

import pytest

from bench.store_filler import settings_of
from bench.store_fleet import FleetShape, StoreFleet
from bridge.local.valkey import LocalValkey
from bridge.store import StatusReader

SMALL = FleetShape(workers=6, slots=2, queues=4, groups=3, activities=5)


@pytest.fixture(scope="module")
def valkey():
    with LocalValkey() as server:
        yield server


def test_claims_run_where_a_slot_is_free_and_the_others_wait(valkey):
    """Of 20 claims 12 run on the fleet's 12 slots, and 8 wait."""
    settings = settings_of(valkey.url, "occupied")
    with StoreFleet(settings, SMALL) as fleet:
        names = list(fleet.activities)
        fleet.run_short(names)
        running = fleet.occupy(names, 20)
        reader = StatusReader(settings)
        status = reader.read(names)
        reader.close()
    assert running == 12
    assert sum(row.running for row in status.activities) == 12
    assert sum(row.queued for row in status.activities) == 8
    assert [worker.running for worker in status.workers] == [2] * 6


def test_no_two_groups_of_queues_have_the_same_workers():
    """Each worker serves two neighbouring groups of the ring."""
    serving = {
        frozenset(n for n in range(SMALL.workers) if queue in SMALL.served(n))
        for queue in SMALL.queue_names()
    }
    assert len(serving) == SMALL.groups
    assert all(len(workers) == 4 for workers in serving)
