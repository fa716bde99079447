"""What the bench makes of what it measures."""

from __future__ import annotations

import os
import subprocess
import sys

from bench.goals import Goal, judge
from bench.page import BEGIN, END, put
from bench.processes import Process, environment, python, weigh
from bench.stats import latencies, percentile, ratios, spread
from tests.waiting import wait_until

BURN = "import time\nend = time.process_time() + {s}\nwhile time.process_time() < end: pass\n"


class TestStats:
    def test_percentiles_are_values_that_were_measured(self):
        values = [float(n) for n in range(1, 101)]
        assert percentile(values, 50) == 50
        assert percentile(values, 99) == 99
        assert percentile([7.0], 99) == 7

    def test_ratios_are_taken_within_a_round(self):
        """A slow round slows both, and so changes no ratio."""
        found = ratios([2.0, 20.0, 4.0], [1.0, 10.0, 2.0])
        assert (found["median"], found["min"], found["max"]) == (2.0, 2.0, 2.0)

    def test_latencies_are_milliseconds(self):
        assert latencies([0.001, 0.002, 0.003])["p50_ms"] == 2.0


def goal(value, sign):
    return Goal(what="w", value=value, sign=sign, limit=1.0, unit="×")


class TestGoals:
    def test_a_goal_is_met_on_its_own_side(self):
        assert goal(1.0, "≤").met
        assert not goal(1.1, "≤").met
        assert goal(1.1, "≥").met

    def test_only_what_was_measured_is_judged(self):
        found = {"heartbeats": {"ratio": spread([0.3]), "tokens_per_core": 70_000}}
        assert [goal.met for goal in judge(found)] == [False, True]

    def test_each_way_to_run_the_bridge_has_limits_of_its_own(self):
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

    def test_the_dearest_grant_is_judged(self):
        rows = [{"fill": "idle", "p50_ms": 0.2}, {"fill": "full", "p50_ms": 0.7}]
        (goal,) = judge({"grant": {"activities": 100, "workers": 300, "groups": 12, "rows": rows}})
        assert (goal.value, goal.limit, goal.met) == (0.7, 0.5, False)
        assert "(full)" in goal.what


class TestPage:
    def test_only_what_stands_between_the_markers_changes(self):
        page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
        assert put(page, r"new \1") == f"before\n{BEGIN}\nnew \\1\n{END}\nafter\n"

    def test_a_page_without_markers_gets_them_at_its_end(self):
        assert put("tried\n", "new") == f"tried\n\n{BEGIN}\nnew\n{END}\n"


class TestWeigh:
    def test_a_session_is_weighed_with_its_children_that_live_and_that_ended(self, tmp_path):
        code = (
            "import subprocess, sys, time\n"
            f"subprocess.run([sys.executable, '-c', {BURN.format(s=0.2)!r}])\n"
            f"subprocess.Popen([sys.executable, '-c', {BURN.format(s=0.2) + 'time.sleep(60)'!r}])\n"
            "print('burnt', flush=True)\n"
            "time.sleep(60)\n"
        )
        process = Process("burner", python("-c", code), env=environment(""), folder=tmp_path)
        try:
            process.wait_for_log("burnt")
            wait_until(lambda: weigh(process.pid).cpu_s > 0.35, what="both children have burnt")
            found = weigh(process.pid)
            assert found.cpu_s < 1.5
            assert found.threads == 2
        finally:
            process.stop()
        wait_until(lambda: weigh(process.pid).threads == 0, what="its children are gone, too")

    def test_nothing_is_left_when_the_bench_is_killed(self, tmp_path):
        """Not even by kill -9, after which no cleaning up is done."""
        code = (
            "import sys, time; from pathlib import Path\n"
            "from bench.processes import Process, environment, python\n"
            "p = Process('c', python('-c', 'import time; time.sleep(60)'), env=environment(''),\n"
            f"            folder=Path({str(tmp_path)!r}))\n"
            "print(p.pid, flush=True); time.sleep(60)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment("")},
        ) as bench:
            session = int(bench.stdout.readline())
            bench.kill()
        wait_until(lambda: weigh(session).threads == 0, timeout_s=10, what="it has ended, too")
