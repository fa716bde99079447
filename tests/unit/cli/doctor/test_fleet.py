"""The doctor's checks of processes, by what the claim store knows of them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bridge.cli.doctor.fleet import check_fleet
from bridge.cli.doctor.result import CheckResult, Level
from bridge.store import Status, WorkerStatus

BEAT = WorkerStatus("beat#1", 4, ("bridge.system",), 0, 10.0, offered=4)
WORKER = WorkerStatus("w1#1", 4, ("celery",), 1, 10.0, ordinary=2, offered=2, used=1)
DRAINS = WorkerStatus("w0#1", 0, ("celery",), 3, 10.0)
GONE = WorkerStatus("w2#1", 4, ("celery",), 0, -5.0, offered=4)


class Registry(dict):
    queues = ("celery",)


def results(*workers: WorkerStatus, activities: int = 1) -> dict[str, CheckResult]:
    registry = Registry({f"a{n}": SimpleNamespace(queue="celery") for n in range(activities)})
    settings = SimpleNamespace(tick_s=1.0)
    status = Status([], [BEAT, *workers], ["p"], {"heartbeat": 0.1})
    found = check_fleet(SimpleNamespace(registry=registry, settings=settings), status)
    return {each.check: each for each in found}


def test_occupied_slots_are_told_and_no_fault():
    found = results(WORKER, DRAINS, GONE)["workers of queue celery"]
    assert found.level is Level.OK
    assert found.detail == (
        "workers: 1, slots: 4, claims occupy 1, ordinary tasks occupy 2, free: 1, "
        "workers that drain: 1"
    )


@pytest.mark.parametrize("activities", [1, 50])
def test_few_slots_are_no_fault(activities):
    """Idle polls take no slot, so every activity is polled, however many there are."""
    assert all(each.level is Level.OK for each in results(WORKER, activities=activities).values())


def test_workers_that_take_no_message_now_are_no_fault():
    """A busy worker holds as many messages as its prefetch count allows."""
    assert not WORKER.fetches
    assert results(WORKER)["workers of queue celery"].level is Level.OK


@pytest.mark.parametrize(
    ("workers", "says"),
    [
        ((), "no live worker serves it"),
        ((GONE,), "no live worker serves it"),
        ((DRAINS,), "workers that drain and take no new job: 1, others: none"),
    ],
)
def test_a_queue_without_a_worker_that_takes_jobs_is_a_failure(workers, says):
    found = results(*workers)["workers of queue celery"]
    assert found.level is Level.FAILURE
    assert found.detail == f"{says}; nothing of a0 is claimed"
    assert found.remedy.endswith("worker -Q celery")
