"""The capacity ledger with real processes: many activities on few slots, and what occupies these.

The same cases take longer, with the sizes of a real fleet, in tests/guests.
"""

from __future__ import annotations

import pytest

from tests.acceptance import capacity_rules as rules
from tests.acceptance.capacity import Fleets, lend

pytestmark = pytest.mark.acceptance

SLOTS = 4


@pytest.fixture(scope="module")
def fleets(tmp_path_factory):
    """Eight activities and two more, a worker with four slots, one poller, one beat."""
    with Fleets(tmp_path_factory.mktemp("crowd"), activities=8, slots=SLOTS) as made:
        yield made


@pytest.fixture
def fleet(fleets, request):
    yield from lend(fleets, request)


@pytest.fixture
def small(tmp_path):
    """Three activities and one slot, as a container with one core has; polls are held for long."""
    with Fleets(tmp_path, activities=3, slots=1, hold_s=30) as made:
        yield made.get()


class TestManyActivities:
    def test_each_begins_at_once(self, fleet):
        rules.each_begins_at_once(fleet.crowd, rounds=1)

    def test_a_burst_is_bounded_and_fair(self, fleet):
        rules.a_burst_is_bounded_and_fair(fleet.crowd, slots=SLOTS, each=3, seconds=0.3)

    def test_one_slot_is_enough(self, small):
        rules.each_begins_at_once(small.crowd, rounds=3)


class TestOccupied:
    def test_nothing_is_polled_without_room(self, fleet):
        rules.nothing_is_polled_without_room(fleet.crowd, slots=SLOTS, seconds=1.5)

    def test_by_ordinary_tasks(self, fleet):
        rules.ordinary_tasks_occupy_slots(fleet.crowd, slots=SLOTS, timeout_s=2)

    def test_by_unwanted_jobs(self, fleet):
        rules.unwanted_jobs_occupy_slots(fleet.crowd, slots=SLOTS, seconds=1.5)

    def test_not_by_countdowns(self, fleet):
        rules.countdowns_take_no_room(fleet.crowd, slots=SLOTS, claims=20)


class TestLookAhead:
    def test_few_wait_behind_long_jobs(self, fleet):
        rules.few_wait_behind_long_jobs(fleet.crowd, slots=SLOTS, jobs=24, seconds=0.4)

    def test_a_switch_is_bounded(self, fleet):
        rules.a_switch_to_long_jobs_is_bounded(fleet.crowd, fleet.poller, slots=SLOTS, seconds=1.0)


class TestChanges:
    def test_consumers_are_followed(self, fleet):
        rules.consumers_are_followed(fleet.crowd, fleet.worker)

    def test_pools_are_followed(self, fleet):
        rules.pools_are_followed(fleet.crowd, fleet.worker, slots=SLOTS, seconds=1)

    def test_a_draining_worker_takes_no_room(self, fleet):
        fleet.worker = rules.a_draining_worker_takes_no_room(
            fleet.crowd,
            fleet.worker,
            lambda: fleet.crowd.worker(concurrency=SLOTS),
            slots=SLOTS,
            waiting=12,
        )

    def test_another_poller_takes_over(self, fleet):
        fleet.poller = rules.another_poller_takes_over(fleet.crowd, fleet.poller, lease_s=3)
