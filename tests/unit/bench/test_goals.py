"""Which goals are judged, and when a goal is met."""

from __future__ import annotations

from bench.goals import Goal, judge
from bench.stats import spread


def goal_of_one(value, sign):
    return Goal(what="w", value=value, sign=sign, limit=1.0, unit="×")


def test_a_goal_is_met_on_the_side_of_its_sign():
    assert goal_of_one(1.0, "≤").met
    assert not goal_of_one(1.1, "≤").met
    assert goal_of_one(1.1, "≥").met


def test_only_what_was_measured_is_judged():
    found = {"heartbeats": {"ratio": spread([0.3]), "tokens_per_core": 70_000}}
    assert [goal.met for goal in judge(found)] == [False, True]


def test_each_way_to_run_the_bridge_has_its_own_limits():
    """Four processes may take more CPU than 64 threads."""
    way = {
        "cpu": {"threads-16": spread([0.7]), "floors": spread([1.0])},
        "speed": spread([1.6]),
        "best_threads": "threads-1",
    }
    contestant = {
        "label": "threads, 1",
        "stub_share": spread([0.05]),
        "stub_cpu_ms": spread([0.1]),
    }
    found = judge(
        {
            "cost": {
                "ratios": {"threads": way, "16 slots": way, "prefork": way},
                "contestants": {"threads-1": contestant},
            }
        }
    )
    met = {goal.what: goal.met for goal in found if "threads" in goal.what}
    assert [
        met[f"CPU per task ({name}) / thread worker, 16 threads"]
        for name in ("threads", "16 slots", "prefork")
    ] == [False, False, True]
    assert met["tasks/s (prefork) / best thread worker (threads, 1)"]


def test_the_slowest_grant_is_judged():
    rows = [{"fill": "idle", "p50_ms": 0.2}, {"fill": "full", "p50_ms": 0.7}]
    (goal,) = judge({"grant": {"activities": 100, "workers": 300, "groups": 12, "rows": rows}})
    assert (goal.value, goal.limit, goal.met) == (0.7, 0.5, False)
    assert "(full)" in goal.what
