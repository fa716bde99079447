"""The whole answer to ``status --why``."""

from __future__ import annotations

from dataclasses import replace

from bridge.cli.status.why.answer import settled
from bridge.store import PollRefusal, Room
from tests.unit.cli.status.why.fleets import (
    BUSY,
    DRAINS,
    FULL,
    IDLE,
    QUIET,
    WORKER,
    answer,
)


def test_for_programs_it_has_the_numbers():
    row = replace(BUSY, countdown=5, held_back=2, outbox=1, polls=1, idle=1)
    found = answer(FULL, WORKER, DRAINS, row=row).as_json()
    assert found["claims"] == {
        "in_flight": 4,
        "running": 3,
        "waiting": 1,
        "countdown": 5,
        "held_back": 2,
        "outbox": 1,
        "lost": 0,
    }
    assert found["polls"] == {"fresh": 0, "idle": 1}
    assert found["workers"] == {
        "live": 1,
        "draining": 1,
        "slots": 4,
        "claims": 2,
        "ordinary": 2,
        "unwanted": 0,
        "free": 0,
    }
    assert found["room"] == {
        "offered": 2,
        "used": 2,
        "waiting_room": 1,
        "charged": 1,
        "time_room_s": 0.0,
        "time_used_s": 0.0,
        "short": False,
        "longest_s": None,
    }
    assert (found["activity"], found["queue"]) == ("resize-image", "celery")
    assert (found["reason"], found["refusal"], found["pollers"]) == ("no room", "no room", 1)


class TestSettled:
    def test_a_moment_between_two_polls_is_waited_out(self):
        between = answer(Room(PollRefusal.NONE), IDLE)
        well = answer(Room(PollRefusal.COVERED), IDLE, row=replace(QUIET, polls=1, idle=1))
        answers = iter([between, between, well])
        assert settled(lambda: next(answers)) is well

    def test_where_it_lasts_it_is_the_answer(self):
        between = answer(Room(PollRefusal.NONE), IDLE)
        assert settled(lambda: between, within_s=0.0) is between
