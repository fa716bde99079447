"""The metric that an autoscaler follows: what makes it rise, and what does not."""

from __future__ import annotations

import pytest

from bridge.metrics.scaling import MOST, backlog_per_slot
from bridge.store import ActivityStatus, Status, WorkerStatus

IDLE = WorkerStatus("w1@host#1", slots=4, queues=("celery",), running=0, lease_s=5.0)


def fleet(*workers: WorkerStatus, **claims: object) -> Status:
    given = {"in_flight": 0, "queued": 0, "running": 0, "outbox": 0, "lost": 0, "polls": 0}
    return Status([ActivityStatus("resize", oldest_s=None, **(given | claims))], list(workers))


def worker(**changes: object) -> WorkerStatus:
    given = {"slots": 4, "queues": ("celery",), "running": 0, "lease_s": 5.0}
    return WorkerStatus("w2@host#2", **(given | changes))


class TestRises:
    def test_with_claims_that_run_and_wait(self):
        found = backlog_per_slot(fleet(worker(running=3), IDLE, waiting_in={"celery": 1}))
        assert found == 4 / 8

    @pytest.mark.parametrize("kind", ["ordinary", "unwanted"])
    def test_with_what_else_occupies_slots(self, kind):
        """Nothing is claimed for such slots, so claims alone would not show that work waits."""
        assert backlog_per_slot(fleet(worker(**{kind: 4}))) == 1

    def test_to_a_bound(self):
        """Four short jobs may wait for a slot; one step must not make five workers of one."""
        assert backlog_per_slot(fleet(worker(running=4), waiting_in={"celery": 16})) == MOST

    def test_a_worker_has_no_more_than_its_slots(self):
        assert backlog_per_slot(fleet(worker(running=3, ordinary=3), IDLE)) == 4 / 8


class TestDoesNotRise:
    @pytest.mark.parametrize("aside", ["countdown", "held_back"])
    def test_with_claims_that_more_workers_would_not_begin_sooner(self, aside):
        found = backlog_per_slot(fleet(IDLE, in_flight=50, queued=50, **{aside: 50}))
        assert found == 0

    def test_with_what_a_draining_worker_runs(self):
        """A rolling deployment must not add workers."""
        assert backlog_per_slot(fleet(worker(slots=0, running=16), IDLE)) == 0

    def test_with_a_dead_worker_or_one_that_sends_heartbeats(self):
        dead = worker(running=4, lease_s=-1.0)
        beat = worker(queues=("bridge.system",), ordinary=4)
        assert backlog_per_slot(fleet(dead, beat, IDLE)) == 0

    def test_with_claims_in_a_queue_without_a_worker(self):
        assert backlog_per_slot(fleet(IDLE, waiting_in={"celery": 1, "images": 9})) == 1 / 4


def test_none_without_a_slot():
    assert backlog_per_slot(fleet(worker(slots=0, running=3))) is None
