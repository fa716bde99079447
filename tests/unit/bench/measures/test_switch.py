"""Which tasks the measure counts as fetched ahead."""

from __future__ import annotations

from bench.goals import judge
from bench.measures.switch import fetched_ahead
from bench.stub_server import TaskTimes


def task(handed, begun, ended):
    return TaskTimes(scheduled=0.0, handed=handed, reported=ended, begun=begun, ended=ended)


def test_tasks_handed_out_beyond_the_slots_are_fetched_ahead():
    """One slot. The first long job runs from 0.4 s to 5.4 s.

    Two tasks are fetched behind it before it is known as long, and none while it runs; one is
    fetched behind each other long job, and three behind a short one.
    """
    short = [task(0.0, 0.1, 0.2), task(0.1, 0.2, 0.3), task(0.15, 0.3, 0.4)]
    long = [
        task(0.3, 0.4, 5.4),
        task(0.35, 5.4, 10.4),
        task(0.45, 10.4, 15.4),
        task(10.5, 15.4, 20.4),
    ]
    again = [
        task(15.5, 20.4, 20.5),
        task(20.45, 20.5, 20.6),
        task(20.55, 20.6, 20.7),
        task(20.61, 20.7, 20.8),
        task(20.62, 20.8, 20.9),
        task(20.63, 20.9, 21.0),
    ]
    assert fetched_ahead(short, long, again, slots=1) == {
        "at_switch": 2,
        "while_long": 1,
        "again": 3,
        "back_within": 2,
    }


def test_back_within_is_none_if_no_more_is_fetched_ahead_again():
    one = [task(0.0, 0.1, 0.2)]
    long, again = [task(0.2, 0.3, 9.0)], [task(9.1, 9.2, 9.3)]
    assert fetched_ahead(one, long, again, slots=1)["back_within"] is None


def test_the_limits_follow_from_the_default_settings():
    """8 slots: 4 a slot may wait at a switch, and 10 claims may be held while jobs are long.

    After 20 short jobs, and those that run meanwhile, more must be fetched ahead again.
    """
    found = {
        "slots": 8,
        "short": 300,
        "short_ms": 20,
        "long_ms": 10_000,
        "at_switch": 32,
        "while_long": 3,
        "again": 2,
        "back_within": None,
    }
    assert [(goal.value, goal.limit, goal.met) for goal in judge({"switch": found})] == [
        (32, 32, True),
        (3, 2, False),
        (300, 28, False),
    ]
