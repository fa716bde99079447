"""The capacity ledger with real processes: many activities on few slots, and what occupies slots.

The same rules are tested with the sizes of a real fleet in tests/guests/test_capacity_*.py.
"""

from __future__ import annotations

import pytest

from tests.acceptance import capacity_rules as rules
from tests.acceptance.capacity_fleet import FleetSize, SharedFleet

pytestmark = pytest.mark.acceptance

FLEET = FleetSize(activities=8, slots=4)


@pytest.fixture
def one_slot(tmp_path):
    """Three activities and one slot, as a container with one core has; polls are held for 30 s."""
    size = FleetSize(activities=3, slots=1, hold_s=30)
    with SharedFleet(tmp_path, size) as shared:
        yield shared.get()


class TestManyActivities:
    def test_each_execution_begins_at_once(self, capacity_fleet):
        rules.each_begins_at_once(capacity_fleet.deployment, rounds=1)

    def test_a_burst_is_bounded_and_fair(self, capacity_fleet):
        rules.a_burst_is_bounded_and_fair(
            capacity_fleet.deployment, slots=FLEET.slots, each=3, seconds=0.3
        )

    def test_one_slot_is_enough(self, one_slot):
        rules.each_begins_at_once(one_slot.deployment, rounds=3)


class TestOccupied:
    def test_nothing_is_polled_without_room(self, capacity_fleet):
        rules.nothing_is_polled_without_room(
            capacity_fleet.deployment, slots=FLEET.slots, seconds=1.5
        )

    def test_ordinary_tasks_occupy_slots(self, capacity_fleet):
        rules.ordinary_tasks_occupy_slots(capacity_fleet.deployment, slots=FLEET.slots, timeout_s=2)

    def test_unwanted_jobs_occupy_slots(self, capacity_fleet):
        rules.unwanted_jobs_occupy_slots(capacity_fleet.deployment, slots=FLEET.slots, seconds=1.5)

    def test_countdowns_take_no_room(self, capacity_fleet):
        rules.countdowns_take_no_room(capacity_fleet.deployment, slots=FLEET.slots, claims=20)


class TestLookAhead:
    def test_few_wait_behind_long_jobs(self, capacity_fleet):
        rules.few_wait_behind_long_jobs(
            capacity_fleet.deployment, slots=FLEET.slots, jobs=24, seconds=0.4
        )

    def test_a_switch_to_long_jobs_is_bounded(self, capacity_fleet):
        rules.a_switch_to_long_jobs_is_bounded(
            capacity_fleet.deployment, capacity_fleet.poller, slots=FLEET.slots, seconds=1.0
        )


class TestChanges:
    def test_consumers_are_followed(self, capacity_fleet):
        rules.consumers_are_followed(capacity_fleet.deployment, capacity_fleet.worker)

    def test_pools_are_followed(self, capacity_fleet):
        rules.pools_are_followed(
            capacity_fleet.deployment, capacity_fleet.worker, slots=FLEET.slots, seconds=1
        )

    def test_a_draining_worker_takes_no_room(self, capacity_fleet):
        capacity_fleet.worker = rules.a_draining_worker_takes_no_room(
            capacity_fleet.deployment,
            capacity_fleet.worker,
            lambda: capacity_fleet.deployment.worker(concurrency=FLEET.slots),
            slots=FLEET.slots,
            waiting=12,
        )

    def test_another_poller_takes_over(self, capacity_fleet):
        capacity_fleet.poller = rules.another_poller_takes_over(
            capacity_fleet.deployment, capacity_fleet.poller, lease_s=3
        )
