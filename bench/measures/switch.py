"""What is fetched ahead when jobs of milliseconds become jobs of seconds, and short ones again.

A worker with 8 slots, one activity. The stub notes when it hands a task out, the job when it ends:
what is in between, beyond the slots, is fetched ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.contestants.bridge import Bridge
from bench.control import Task
from bench.measures.run import Run

SLOTS = 8
SHORT_MS = 20
SHORT, LONG = 300, 60
"""Tasks of each kind; long ones enough that some are left when those fetched ahead have begun."""
KNOWN_WITHIN_S = 0.5
"""A job counts as long once it has run for BRIDGE_LOOK_AHEAD_S (0.25); what was granted before that
has come by then.
"""


def run(bench: Run) -> dict[str, Any]:
    """Returns how many tasks were fetched ahead, at most, in each part of the run."""
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
    short: Sequence[Task], long: Sequence[Task], again: Sequence[Task], *, slots: int
) -> dict[str, Any]:
    """What was fetched ahead, from the tasks in the order in which they were scheduled.

    Returns:
        at_switch: The most, until the first long job is known as one.
        while_long: The most at the moment of a further fetch, from then until the last has begun:
            no job is known as long at its begin, and short ones end beside the last of them.
        again: The most after that.
        back_within: Short jobs that ended from then on until more than ``while_long`` was fetched
            ahead; None: it never was.
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


def _in_flight(tasks: Sequence[Task], at: float) -> int:
    """Tasks that had been handed out by then and had not ended."""
    return sum(_s(task.handed) <= at < _s(task.ended) for task in tasks)


def _s(moment: float | None) -> float:
    assert moment is not None, "the task was not done"
    return moment
