"""Measure the CPU per no-op task and the tasks a second of all contestants, in turns.

All tasks of a batch are scheduled at once, and the contestant does them as fast as it can. So one
batch gives both the CPU of all of its processes and the time it took.
"""

from __future__ import annotations

from typing import Any

from bench.contestants.base import Batch
from bench.measures.run import Run
from bench.stats import ratios, spread

BRIDGES = {"threads": "bridge-threads", "16 slots": "bridge-few", "prefork": "bridge-prefork"}
FLOORS = {"threads": "celery-threads", "16 slots": "celery-threads", "prefork": "celery-prefork"}
OTHERS = ("threads-1", "threads-16", "threads-100", "loops-16", "loops-100", "heaviside", "stefuna")
QUICK = (
    *BRIDGES.values(),
    "threads-1",
    "threads-16",
    "threads-100",
    "heaviside",
    "celery-threads",
    "celery-prefork",
    "signed-http",
)
FULL = (
    *BRIDGES.values(),
    *OTHERS,
    "celery-threads",
    "celery-prefork",
    "signed-http",
    "heaviside-manager",
)
SLOW = {"heaviside-manager": 10}
"""Contestant → tasks of its batches, where a task takes a tenth of a second or more."""


def run(bench: Run) -> dict[str, Any]:
    """Measure; CPU in ms a task, tasks/s and RSS in MB by contestant, and the bridge's ratios."""
    names = QUICK if bench.quick else FULL
    rounds, count = (2, 200) if bench.quick else (5, 1_000)
    contestants = bench.lineup.get(names)
    batches: dict[str, list[Batch]] = {name: [] for name in names}
    for number in range(rounds):
        for name, contestant in contestants.items():
            bench.say(f"cost, round {number + 1} of {rounds}: {contestant.label}")
            # Since its last turn its polls may have returned and its caches may be cold.
            contestant.batch(min(count // 4, SLOW.get(name, count)) // 4)
            batches[name].append(contestant.batch(SLOW.get(name, count)))
    cpu = {name: [batch.cpu_ms_per_task for batch in batches[name]] for name in names}
    speed = {name: [batch.tasks_per_s for batch in batches[name]] for name in names}
    return {
        "tasks": count,
        "rounds": rounds,
        "contestants": {
            name: {
                "label": contestants[name].label,
                "configuration": contestants[name].configuration,
                "cpu_ms": spread(cpu[name]),
                "parts": _parts(batches[name]),
                "tasks_per_s": spread(speed[name], 1),
                "rss_mb": round(max(batch.rss_bytes for batch in batches[name]) / 1e6, 1),
                "stub_cpu_ms": spread([1000 * b.stub_cpu_s / b.count for b in batches[name]]),
                "stub_share": spread([b.stub_cpu_s / b.cpu_s for b in batches[name]]),
            }
            for name in names
        },
        "ratios": {
            way: _ratios(bridge, cpu, speed, FLOORS[way])
            for way, bridge in BRIDGES.items()
            if bridge in names
        },
    }


def _parts(batches: list[Batch]) -> dict[str, Any]:
    """CPU and memory of each process of a contestant."""
    return {
        name: {
            "cpu_ms": spread([1000 * each.parts[name].cpu_s / each.count for each in batches]),
            "rss_mb": round(max(each.parts[name].rss_bytes for each in batches) / 1e6, 1),
        }
        for name in batches[0].parts
    }


def _ratios(
    bridge: str, cpu: dict[str, list[float]], speed: dict[str, list[float]], floor_name: str
) -> dict[str, Any]:
    celery = cpu[floor_name]
    floor = [job + http for job, http in zip(celery, cpu["signed-http"], strict=True)]
    best = max(
        (name for name in speed if name.startswith(("threads-", "loops-"))),
        key=lambda name: sorted(speed[name])[len(speed[name]) // 2],
    )
    return {
        "cpu": {
            **{name: ratios(cpu[bridge], cpu[name]) for name in cpu if name in OTHERS},
            floor_name: ratios(cpu[bridge], celery),
            "floors": ratios(cpu[bridge], floor),
        },
        "speed": ratios(speed[bridge], speed[best]),
        "best_threads": best,
    }
