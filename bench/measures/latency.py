"""Measure the time from a task's scheduling to its job's begin, and from its end to its report.

Both are measured idle and at half load. The stub notes when it schedules a task and when the report
comes; the job notes its begin and end in its output. All of it is by one machine's clock. Celery
alone has no reports, and its job counts as scheduled just before it is published.
"""

from __future__ import annotations

from typing import Any

from bench.contestants.base import Contestant
from bench.measures.run import Run
from bench.stats import latencies, percentile, spread
from bench.stub_server import TaskTimes

QUICK = ("bridge-threads", "threads-16", "celery-threads")
FULL = (
    "bridge-threads",
    "celery-threads",
    "bridge-prefork",
    "celery-prefork",
    "threads-16",
    "signed-http",
)
IDLE_PER_S = 40.0
"""So few that each task is done when the next one comes."""


def run(bench: Run) -> dict[str, Any]:
    """Measure; p50 and p99 of both times in ms, by contestant and load."""
    names = QUICK if bench.quick else FULL
    rounds, idle, half_s = (1, 75, 1.5) if bench.quick else (2, 150, 2.0)
    contestants = bench.lineup.get(names)
    loads: dict[str, dict[str, list[list[TaskTimes]]]] = {
        name: {"idle": [], "half": []} for name in names
    }
    rates = {}
    for number in range(rounds):
        for name, contestant in contestants.items():
            bench.say(f"latency, round {number + 1} of {rounds}: {contestant.label}")
            if name not in rates:
                rates[name] = _saturation(contestant) / 2
            contestant.batch(5, rate=IDLE_PER_S)
            loads[name]["idle"].append(contestant.batch(idle, rate=IDLE_PER_S).tasks)
            count = max(20, int(rates[name] * half_s))
            loads[name]["half"].append(contestant.batch(count, rate=rates[name]).tasks)
    begins = {name: [_p50(to_begin(tasks)) for tasks in loads[name]["idle"]] for name in names}
    return {
        "idle_per_s": IDLE_PER_S,
        "contestants": {
            name: {
                "label": contestants[name].label,
                "half_per_s": round(rates[name], 1),
                **{load: _both(batches) for load, batches in loads[name].items()},
            }
            for name in names
        },
        # How much the bridge's p50 exceeds Celery's in each round, idle.
        "over_celery_ms": {
            pool: spread(
                [
                    1000 * (ours - theirs)
                    for ours, theirs in zip(
                        begins[f"bridge-{pool}"], begins[f"celery-{pool}"], strict=True
                    )
                ]
            )
            for pool in ("threads", "prefork")
            if f"bridge-{pool}" in names
        },
    }


def to_begin(tasks: list[TaskTimes]) -> list[float]:
    """Seconds from scheduled to begun."""
    return [task.begun - task.scheduled for task in tasks if task.begun is not None]


def to_report(tasks: list[TaskTimes]) -> list[float]:
    """Seconds from ended to reported."""
    return [task.reported - task.ended for task in tasks if task.reported and task.ended]


def _both(batches: list[list[TaskTimes]]) -> dict[str, Any]:
    tasks = [task for batch in batches for task in batch]
    reports = to_report(tasks)
    return {
        "to_begin": latencies(to_begin(tasks)),
        "to_report": latencies(reports) if reports else None,
    }


def _saturation(contestant: Contestant) -> float:
    contestant.batch(100)
    return contestant.batch(200).tasks_per_s


def _p50(values: list[float]) -> float:
    return percentile(values, 50)
