"""A rolling deployment with jobs that drain, and pools that change while they work."""

from __future__ import annotations

import time

import pytest

from tests.acceptance import capacity_rules as rules
from tests.acceptance.capacity import Fleets

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(180)]


@pytest.fixture
def start(tmp_path):
    """Starts a fleet with five activities and a worker with these slots and options."""
    made = []

    def fleets(slots: int, *options: str) -> Fleets:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        one = Fleets(folder, activities=5, slots=slots, worker=options)
        made.append(one.__enter__())
        return one

    yield fleets
    for each in made:
        each.drop()


def test_a_draining_worker_takes_no_room(start):
    """Sixteen jobs drain, a hundred executions wait for sixteen new slots."""
    fleets = start(16, "--pool", "threads")
    fleet = fleets.get()
    rules.a_draining_worker_takes_no_room(
        fleet.crowd, fleet.worker, fleets.start_worker, slots=16, waiting=100
    )


def test_a_pool_that_grows(start):
    """Eight jobs of 3 s on one slot and three more take two turns."""
    fleet = start(1).get()
    fleet.crowd.app.control.pool_grow(3, destination=[fleet.crowd.name_of(fleet.worker)])
    fleet.crowd.announced(slots=4, queues=("celery",))
    fleet.crowd.has_processes(fleet.worker, 4)
    began = time.monotonic()
    rules.few_wait_behind_long_jobs(fleet.crowd, slots=4, jobs=8, seconds=3)
    assert time.monotonic() - began < 10


def test_an_autoscaled_pool(start):
    """It counts as large as it may become, also after its limits were changed."""
    fleet = start(4, "--autoscale", "4,1").get()
    rules.few_wait_behind_long_jobs(fleet.crowd, slots=4, jobs=16, seconds=2)
    fleet.crowd.app.control.autoscale(2, 1, destination=[fleet.crowd.name_of(fleet.worker)])
    fleet.crowd.announced(slots=2)
    rules.few_wait_behind_long_jobs(fleet.crowd, slots=2, jobs=8, seconds=2)


def test_a_solo_pool(start):
    """It has one slot, whatever --concurrency says: five jobs of 3 s all end within 7 s."""
    crowd = start(4, "--pool", "solo").get().crowd
    rules.few_wait_behind_long_jobs(crowd, slots=1, jobs=5, seconds=3, timeout_s=7)


def test_a_worker_that_begins_with_another_queue(start):
    """``add_consumer`` gives it the queue of the activities, and it is polled for."""
    fleet = start(2, "-Q", "other").get()
    crowd = fleet.crowd
    started = [crowd.begin(kind, 0) for kind in crowd.kinds[:3]]
    time.sleep(2)
    assert crowd.look().total == 0
    assert crowd.polls() == {}
    crowd.app.control.add_consumer("celery", destination=[crowd.name_of(fleet.worker)])
    crowd.all_begin(started)
    assert crowd.ends(started) == {"SUCCEEDED": 3}
