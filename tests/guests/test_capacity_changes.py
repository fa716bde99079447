"""Rolling deployments, pools that change, and queues that are added while workers run."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from tests.acceptance import capacity_rules as rules
from tests.acceptance.capacity_fleet import FleetSize, SharedFleet

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(180)]


@pytest.fixture
def start(tmp_path):
    """Start a fleet with five activities and a worker with these slots and options."""
    with ExitStack() as started:

        def make(slots: int, *worker_options: str) -> SharedFleet:
            folder = tmp_path / f"{slots}{''.join(worker_options)}"
            folder.mkdir()
            size = FleetSize(activities=5, slots=slots, worker_options=worker_options)
            return started.enter_context(SharedFleet(folder, size))

        yield make


def test_a_draining_worker_takes_no_room(start):
    """Sixteen jobs drain on the old worker; a hundred executions wait for sixteen new slots."""
    shared = start(16, "--pool", "threads")
    fleet = shared.get()
    rules.a_draining_worker_takes_no_room(
        fleet.deployment, fleet.worker, shared.start_worker, slots=16, waiting=100
    )


def test_a_pool_that_grows_is_filled(start):
    """Eight jobs of 3 s on one slot and three more slots run in two rounds."""
    fleet = start(1).get()
    fleet.deployment.app.control.pool_grow(3, destination=[fleet.deployment.name_of(fleet.worker)])
    fleet.deployment.announced(slots=4, queues=("celery",))
    fleet.deployment.has_processes(fleet.worker, 4)
    began = time.monotonic()
    rules.few_wait_behind_long_jobs(fleet.deployment, slots=4, jobs=8, seconds=3)
    assert time.monotonic() - began < 10


def test_an_autoscaled_pool_counts_with_its_maximum(start):
    """It does so also after its limits were changed."""
    fleet = start(4, "--autoscale", "4,1").get()
    rules.few_wait_behind_long_jobs(fleet.deployment, slots=4, jobs=16, seconds=2)
    fleet.deployment.app.control.autoscale(
        2, 1, destination=[fleet.deployment.name_of(fleet.worker)]
    )
    fleet.deployment.announced(slots=2)
    rules.few_wait_behind_long_jobs(fleet.deployment, slots=2, jobs=8, seconds=2)


def test_a_solo_pool_has_one_slot(start):
    """Whatever --concurrency says: none of five jobs of 3 s exceeds its time-out of 7 s."""
    deployment = start(4, "--pool", "solo").get().deployment
    rules.few_wait_behind_long_jobs(deployment, slots=1, jobs=5, seconds=3, timeout_s=7)


def test_an_added_queue_is_polled_for(start):
    """``add_consumer`` gives the queue of the activities to a worker that did not have it."""
    fleet = start(2, "-Q", "other").get()
    deployment = fleet.deployment
    started = [deployment.begin(kind, 0) for kind in deployment.kinds[:3]]
    time.sleep(2)
    assert deployment.look().total == 0
    assert deployment.polls() == {}
    deployment.app.control.add_consumer("celery", destination=[deployment.name_of(fleet.worker)])
    deployment.all_begin(started)
    assert deployment.ends(started) == {"SUCCEEDED": 3}
