"""What each key in an answer of ``read_status`` means."""

from __future__ import annotations

import json

from bridge.store.status import OpenPolls
from bridge.store.status_reader import parse_status

EMPTY = {
    "tally": {},
    "ended": {},
    "oldest": {},
    "waiting": {},
    "countdown": {},
    "held_back": {},
    "lost": {},
    "longest_ms": {},
    "workers": {},
    "pollers": {},
    "passes": {},
    "outbox_ms": 0,
}
WORKER = {
    "slots": 4,
    "queues": ["celery"],
    "lease_ms": 1500,
    "running": 2,
    "unwanted": 0,
    "offered": 0,
    "used": 0,
}


def parsed(*activities: str, **said):
    return parse_status(json.dumps({**EMPTY, **said}), activities)


def test_each_key_of_an_activity():
    status = parsed(
        "resize",
        tally={"resize|queued": 6, "resize|running": 2, "resize|settled": 1},
        waiting={"resize|celery": 2, "resize|old": 1, "mail|celery": 5},
        countdown={"resize": 2},
        held_back={"resize": 1},
        longest_ms={"resize": 20},
        oldest={"resize": 1500},
        lost={"resize": 1},
        ended={"resize|succeeded": 7, "resize|failed": 3},
        pollers={"p1": {"resize|celery": "2 1"}, "p2": {"resize|celery": "0 1", "mail|m": "1 0"}},
    )
    (row,) = (each for each in status.activities if each.activity == "resize")
    assert (row.in_flight, row.queued, row.running, row.outbox, row.lost) == (9, 6, 2, 1, 1)
    assert (row.waiting, row.waiting_in) == (3, {"celery": 2, "old": 1})
    assert (row.countdown, row.held_back, row.longest_s) == (2, 1, 0.02)
    assert (row.fresh, row.idle, row.polls) == (2, 2, 4)
    assert (row.succeeded, row.failed, row.oldest_s) == (7, 3, 1.5)
    assert status.polls[-1] == OpenPolls("p2", "mail", "m", 1, 0)
    assert status.pollers == ["p1", "p2"]


def test_each_key_of_a_worker():
    said = {**WORKER, "ordinary": 1, "unwanted": 1, "offered": 2, "used": 1, "fetches": True}
    (worker,) = parsed(workers={"w": said}).workers
    assert (worker.slots, worker.queues, worker.running) == (4, ("celery",), 2)
    assert (worker.ordinary, worker.unwanted, worker.offered, worker.used) == (1, 1, 2, 1)
    assert (worker.free, worker.fetches, worker.lease_s) == (1, True, 1.5)
    assert worker.live
    assert not worker.draining


def test_what_the_answer_does_not_name_counts_as_zero():
    """A worker of schema 1, whose lease has ended, announced no ordinary tasks and no fetching."""
    status = parsed(
        "resize", workers={"w": WORKER}, pollers={"p": {"resize|celery": "3 0"}, "q": {}}
    )
    (row,), (worker,) = status.activities, status.workers
    assert (row.waiting, row.countdown, row.held_back, row.longest_s) == (0, 0, 0, None)
    assert (row.fresh, row.idle, row.polls) == (3, 0, 3)
    assert (worker.ordinary, worker.unwanted, worker.offered, worker.used, worker.free) == (0,) * 5
    assert worker.fetches is False
    assert status.pollers == ["p", "q"]


def test_a_worker_drains_that_lives_and_has_no_slots():
    said = {"old": {**WORKER, "slots": 0}, "gone": {**WORKER, "slots": 0, "lease_ms": -1}}
    gone, old = parsed(workers=said).workers
    assert (old.live, old.draining) == (True, True)
    assert (gone.live, gone.draining) == (False, False)
