"""Measure the CPU per heartbeat, including the store's, and that of boto3 on 16 threads.

The bridge's side is a real beat process; the claims in its store run on a worker with a long lease.
All of them become due at once, and the measure ends when the stub has seen a heartbeat of each.
Then boto3 sends the same number.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.contestants.bridge import Bridge
from bench.measures.run import Run
from bench.processes import weigh
from bench.program_process import ProgramProcess
from bench.stats import ratios, spread
from bench.store_filler import LEASE_S, Filler, settings_of
from bench.stub_server import StubServer
from bridge.local.valkey import LocalValkey

INTERVAL_S = 20.0
"""The bridge's default between heartbeats, for the number of tokens that a core carries."""
DUE_IN_S = 1.0


class Beat(Bridge):
    """A beat process and its Valkey, without poller and workers."""

    def __init__(self, stub: StubServer, folder: Path) -> None:
        super().__init__("beat", stub, folder, BRIDGE_LEASE_S=str(LEASE_S))

    def start(self) -> None:
        self.stub.create(self.activity)
        self.valkey = LocalValkey().start()
        self.start_beat()


def run(bench: Run) -> dict[str, Any]:
    """Measure; CPU in ms a heartbeat of both, their ratio, and the tokens that a core carries."""
    rounds, count = (2, 1_500) if bench.quick else (3, 6_000)
    beat = Beat(bench.stub, bench.folder)
    threads = ProgramProcess("heartbeat_threads", endpoint=bench.stub.url, folder=bench.folder)
    try:
        beat.start()
        beat.ready()
        assert beat.valkey is not None
        filler = Filler(settings_of(beat.valkey.url, "bridge"))
        filler.announce(1)
        ids = filler.fill(count, activities=[beat.activity])
        ours: list[dict[str, float]] = []
        theirs: list[float] = []
        _bridge_cpu_ms(bench, beat, filler, ids[:200])
        _boto3_cpu_s(threads, 200)
        for number in range(rounds):
            bench.say(f"heartbeats, round {number + 1} of {rounds}")
            ours.append(_bridge_cpu_ms(bench, beat, filler, ids))
            theirs.append(1000 * _boto3_cpu_s(threads, count))
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


def _bridge_cpu_ms(bench: Run, beat: Beat, filler: Filler, ids: list[str]) -> dict[str, float]:
    """CPU of a heartbeat, by process: the beat process and its store."""
    filler.make_due(ids, DUE_IN_S)
    before_count = bench.stub.counts()["heartbeats"]
    before = beat.parts()
    bench.stub.wait_heartbeats(before_count + len(ids))
    time.sleep(0.1)  # for the last responses to arrive
    after = beat.parts()
    return {
        name: 1000 * weight.since(before[name]).cpu_s / len(ids) for name, weight in after.items()
    }


def _boto3_cpu_s(threads: ProgramProcess, count: int) -> float:
    """CPU of a heartbeat that boto3 sends from one of 16 threads."""
    threads.send("1")
    threads.read()
    before = weigh(threads.pid).cpu_s
    threads.send(str(count))
    threads.read()
    return (weigh(threads.pid).cpu_s - before) / count
