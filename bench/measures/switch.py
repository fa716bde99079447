"""Measure how many tasks are fetched ahead when short jobs become long, and short again.

One worker with 8 slots serves one activity. The stub notes when it hands a task out, and the job
notes when it ends. Of the tasks in between, those beyond the number of slots are fetched ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.contestants.bridge import Bridge
from bench.measures.run import Run
from bench.stub_server import TaskTimes

SLOTS = 8
SHORT_MS = 20
SHORT, LONG = 300, 60
"""Tasks of each kind. Enough long ones that some still wait when those fetched ahead have begun."""
KNOWN_WITHIN_S = 0.5
"""The bridge takes a job as long once it has run for BRIDGE_LOOK_AHEAD_S (0.25 s); by this time the
tasks of earlier grants have come, too.
"""


def run(bench: Run) -> dict[str, Any]:
    """Measure; the most tasks that were fetched ahead, in each part of the run."""
    long_ms = 1_000 if bench.quick else 10_000
    bridge = Bridge(
        "switch", bench.stub, bench.folder, pool="threads", concurrency=SLOTS, BENCH_TIMED="1"
    )
    try:
        bridge.start()
        bridge.ready()
        bridge.batch(bridge.warm_up)
        bench.say(f"switch: jobs of {SHORT_MS} ms, {long_ms / 1000:g} s, {SHORT_MS} ms")
        before = bench.stub.counts()["reported"]
        first = bench.stub.schedule(bridge.activity, SHORT, work_ms=SHORT_MS)
        bench.stub.schedule(bridge.activity, LONG, work_ms=long_ms)
        bench.stub.schedule(bridge.activity, SHORT, work_ms=SHORT_MS)
        bench.stub.wait_reported(before + 2 * SHORT + LONG, timeout_s=60 + LONG * long_ms / 1000)
        tasks = bench.stub.figures(first)
    finally:
        bridge.stop()
    short, long, again = tasks[:SHORT], tasks[SHORT:-SHORT], tasks[-SHORT:]
    return {
        "slots": SLOTS,
        "short": SHORT,
        "short_ms": SHORT_MS,
        "long_ms": long_ms,
        **fetched_ahead(short, long, again, slots=SLOTS),
    }


def fetched_ahead(
    short: Sequence[TaskTimes], long: Sequence[TaskTimes], again: Sequence[TaskTimes], *, slots: int
) -> dict[str, Any]:
    """How many tasks were fetched ahead, from the tasks in the order of their scheduling.

    Returns:
        at_switch: The most, until the first long job is known as long.
        while_long: The most at any later hand-out until the last long job has begun. Not until it
            has ended, because short jobs run beside the last long ones.
        again: The most after all long jobs have ended.
        back_within: Short jobs that had ended since then when more than ``while_long`` was fetched
            ahead for the first time; None: it never was.
    """
    tasks = [*short, *long, *again]
    known = min(_s(task.begun) for task in long) + KNOWN_WITHIN_S
    last_begun = max(_s(task.begun) for task in long)
    over = max(_s(task.ended) for task in long)
    ahead = {_s(task.handed): _in_flight(tasks, _s(task.handed)) - slots for task in tasks}
    while_long = max((n for at, n in ahead.items() if known <= at < last_begun), default=0)
    wide = [at for at, n in ahead.items() if at >= over and n > while_long]
    return {
        "at_switch": max(n for at, n in ahead.items() if at < known),
        "while_long": while_long,
        "again": max((n for at, n in ahead.items() if at >= over), default=0),
        "back_within": sum(over <= _s(task.ended) < min(wide) for task in again) if wide else None,
    }


def _in_flight(tasks: Sequence[TaskTimes], at: float) -> int:
    """Tasks that had been handed out by then and had not ended."""
    return sum(_s(task.handed) <= at < _s(task.ended) for task in tasks)


def _s(moment: float | None) -> float:
    assert moment is not None, "the task was not done"
    return moment
