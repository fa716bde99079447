"""CPU per heartbeat, the store's included, beside boto3 on 16 threads.

A real beat process, and claims in its store that run on a worker with a long lease. All of them are
made due at once, and it is measured until the stub has seen a heartbeat of each; then boto3 sends
the same number.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.contestants.bridge import Bridge
from bench.control import StubServer
from bench.fill import LEASE_S, Filler, settings_of
from bench.measures.run import Run
from bench.processes import weigh
from bench.stats import ratios, spread
from bench.talking import Talking
from bridge.local.valkey import LocalValkey

INTERVAL_S = 20.0
"""The bridge's default between heartbeats; tokens that a core carries are counted for it."""
DUE_IN_S = 1.0


class Beat(Bridge):
    """A beat process and its Valkey, nothing else."""

    def __init__(self, stub: StubServer, folder: Path) -> None:
        super().__init__("beat", stub, folder, BRIDGE_LEASE_S=str(LEASE_S))

    def start(self) -> None:
        self.stub.create(self.activity)
        self.valkey = LocalValkey().start()
        self.start_beat()


def run(bench: Run) -> dict[str, Any]:
    """Returns CPU in ms a heartbeat of both, their ratio, and the tokens that a core carries."""
    rounds, count = (2, 1_500) if bench.quick else (3, 6_000)
    beat = Beat(bench.stub, bench.folder)
    threads = Talking("heartbeat_threads", endpoint=bench.stub.url, folder=bench.folder)
    try:
        beat.start()
        beat.ready()
        assert beat.valkey is not None
        filler = Filler(settings_of(beat.valkey.url, "bridge"))
        filler.announce(1)
        ids = filler.fill(count, activities=[beat.activity])
        ours: list[dict[str, float]] = []
        theirs: list[float] = []
        _beat(bench, beat, filler, ids[:200])
        _boto3(bench, threads, 200)
        for number in range(rounds):
            bench.say(f"heartbeats, round {number + 1} of {rounds}")
            ours.append(_beat(bench, beat, filler, ids))
            theirs.append(1000 * _boto3(bench, threads, count))
        filler.close()
    finally:
        threads.stop()
        beat.stop()
    sums = [sum(parts.values()) for parts in ours]
    cpu = spread(sums, 4)
    return {
        "tokens": count,
        "rounds": rounds,
        "bridge_cpu_ms": cpu,
        "parts_cpu_ms": {name: spread([each[name] for each in ours], 4) for name in ours[0]},
        "boto3_cpu_ms": spread(theirs, 4),
        "ratio": ratios(sums, theirs),
        "tokens_per_core": round(INTERVAL_S / (cpu["median"] / 1000)),
    }


def _beat(bench: Run, beat: Beat, filler: Filler, ids: list[str]) -> dict[str, float]:
    """CPU in ms a heartbeat of the beat process and of its store."""
    filler.make_due(ids, DUE_IN_S)
    seen = bench.stub.counts()["heartbeats"]
    before = beat.parts()
    bench.stub.wait_heartbeats(seen + len(ids))
    time.sleep(0.1)  # the last answers are on their way
    after = beat.parts()
    return {
        name: 1000 * weight.since(before[name]).cpu_s / len(ids) for name, weight in after.items()
    }


def _boto3(bench: Run, threads: Talking, count: int) -> float:
    """CPU seconds a heartbeat of boto3 on 16 threads."""
    threads.tell("1")
    threads.answer()
    before = weigh(threads.pid).cpu_s
    threads.tell(str(count))
    threads.answer()
    return (weigh(threads.pid).cpu_s - before) / count
