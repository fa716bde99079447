"""What people look at."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from bridge.cli.status.overview import Overview
from bridge.cli.status.screen import _status
from bridge.store import ActivityStatus, SlotUsage, Status, WorkerStatus

NOTHING = {"in_flight": 0, "queued": 0, "running": 0, "outbox": 0, "lost": 0, "polls": 0}
REGISTRY = {"resize-image": SimpleNamespace(queue="celery")}
ROW = ActivityStatus(
    "resize-image",
    in_flight=9,
    queued=6,
    running=2,
    outbox=1,
    lost=0,
    polls=3,
    oldest_s=42.1,
    succeeded=1804,
    waiting_in={"celery": 3},
    countdown=2,
    held_back=1,
    fresh=2,
    idle=1,
    longest_s=0.02,
)
WORKER = WorkerStatus(
    "celery@one#1f2e",
    4,
    ("celery",),
    running=2,
    lease_s=10.0,
    ordinary=1,
    offered=3,
    used=2,
    fetches=True,
)
DRAINS = WorkerStatus("celery@two#3d4c", 0, ("celery",), running=3, lease_s=10.0)
LOST = WorkerStatus("celery@three#5b6a", 4, ("celery",), running=1, lease_s=-2.0, offered=4, used=1)
BEAT = WorkerStatus("beat@one#7f8e", 4, ("bridge.system",), running=0, lease_s=10.0, offered=4)


def overview(*workers: WorkerStatus, row: ActivityStatus = ROW) -> Overview:
    return Overview.of(Status([row], list(workers), ["p"]), REGISTRY)


def shown(overview: Overview, width: int = 120) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(_status(overview, width))
    return [line.rstrip() for line in captured.get().splitlines()]


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


class TestTable:
    def test_what_is_rare_has_a_column_only_where_there_is_any(self):
        head = " ".join(shown(overview(WORKER))[:2])
        assert "count-" in head
        assert "held" in head
        assert "lost" not in head
        usual = replace(ROW, countdown=0, held_back=0)
        head = " ".join(shown(overview(WORKER, row=usual))[:2])
        assert "count-" not in head
        assert "held" not in head

    def test_a_worker_says_what_occupies_it_and_one_that_drains_says_so(self):
        lines = shown(overview(WORKER, DRAINS, LOST, BEAT))
        rows = {line.split()[0]: line.split()[1:] for line in lines if "celery@" in line}
        assert rows == {
            "celery@one": ["celery", "4", "2", "1", "1"],
            "celery@two": ["celery", "0", "3", "0", "0", "drains"],
            "celery@three": ["celery", "4", "1", "0", "0", "lost"],
        }
        assert "workers: 2, pollers: 1, beat processes: 1" in lines

    def test_two_starts_of_one_name_are_told_apart(self):
        lines = "\n".join(shown(overview(WORKER, replace(DRAINS, worker="celery@one#new"))))
        assert "celery@one#1f2e" in lines
        assert "celery@one#new" in lines

    def test_many_workers_share_rows(self):
        many = [replace(WORKER, worker=f"celery@h{n}#1") for n in range(300)]
        lines = shown(overview(*many, DRAINS))
        assert [line.split() for line in lines if "workers  " in line] == [
            ["300", "workers", "celery", "1200", "600", "300", "300"],
            ["1", "workers", "celery", "0", "3", "0", "0", "drains"],
        ]

    @pytest.mark.parametrize("width", [80, 100, 120, 240])
    def test_it_fits_the_terminal_and_says_what_it_leaves_out(self, width):
        lines = shown(overview(WORKER, DRAINS), width)
        assert max(map(len, lines)) <= width
        (row,) = [line for line in lines if line.startswith("resize-image ")]
        assert ("processing" in row) == (width > 100)
        left_out = [line for line in lines if "too narrow for: state" in line]
        assert bool(left_out) == (width <= 100)


class TestOccupancy:
    def test_the_parts_add_up(self):
        workers = [
            replace(WORKER, unwanted=1, offered=2),
            replace(WORKER, slots=2, ordinary=4, offered=0, used=0),  # its pool has shrunk
            DRAINS,
            LOST,
        ]
        found = SlotUsage.of(workers)
        assert found == SlotUsage(slots=6, claims=2, ordinary=3, unwanted=1, free=0)
        assert found.claims + found.ordinary + found.unwanted + found.free == found.slots
        assert found.occupied == 6
