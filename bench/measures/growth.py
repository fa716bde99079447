"""Whether anything costs more with more claims in flight; and what a claim takes of Redis's memory.

The store is filled by its own scripts (``bench.fill``) with claims that run, none of them due. Then
passes run in a process of their own, as in the beat's: heartbeats of some claims spread over all of
them, recovery with nothing to recover, and what ``status`` reads.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from bench.fill import INPUT, LEASE_S, Filler, settings_of
from bench.jobs import activity_names
from bench.measures.run import Run
from bench.stats import spread
from bench.stub import TOKEN_BYTES
from bench.talking import Talking
from bridge.local.valkey import LocalValkey

QUICK = (1_000, 10_000)
FULL = (1_000, 10_000, 100_000)
MILLION = 1_000_000
ACTIVITIES, WORKERS = 100, 64
DUE = 1_000
"""Heartbeats of one pass."""


def run(bench: Run) -> dict[str, Any]:
    """Returns a row for each size and shape, and the bytes of a claim."""
    sizes: tuple[int, ...] = QUICK if bench.quick else FULL
    if bench.million:
        sizes = (*FULL, MILLION)
    shapes = [(1, 1, sizes)]
    if not bench.quick:
        shapes.append((ACTIVITIES, WORKERS, FULL[-1:]))
    rows = [
        row for activities, workers, chosen in shapes
        for row in _rows(bench, activities, workers, chosen)
    ]  # fmt: skip
    return {"rows": rows, "due": DUE, "token_bytes": TOKEN_BYTES, "input_bytes": len(INPUT)}


def _rows(
    bench: Run, activities: int, workers: int, sizes: tuple[int, ...]
) -> list[dict[str, Any]]:
    name, rows = f"growth-{activities}", []
    names = activity_names(name, activities)
    with LocalValkey() as valkey:
        filler = Filler(settings_of(valkey.url, name))
        filler.announce(workers)
        empty = filler.used_bytes()
        passes = Talking(
            "passes", endpoint=bench.stub.url, folder=bench.folder, BENCH_ACTIVITY=name,
            BENCH_ACTIVITIES=str(activities), BRIDGE_LEASE_S=str(LEASE_S),
            BRIDGE_STORE_PREFIX=name, BRIDGE_TASKS="bench.jobs", CELERY_BROKER_URL=valkey.url,
        )  # fmt: skip
        try:
            ids: list[str] = []
            for size in sizes:
                bench.say(f"growth: {size:,} claims, {activities} activities, {workers} workers")
                ids += filler.fill(size - len(ids), activities=names, workers=workers)
                per_claim = (filler.used_bytes() - empty) / size - TOKEN_BYTES - len(INPUT)
                rows.append({
                    "claims": size, "activities": activities, "workers": workers,
                    "bytes_per_claim": round(per_claim), **_passes(bench, filler, passes, ids),
                })  # fmt: skip
        finally:
            passes.stop()
            filler.close()
    return rows


def _passes(bench: Run, filler: Filler, passes: Talking, ids: list[str]) -> dict[str, Any]:
    rounds = 3 if bench.quick else 5
    due = min(DUE, len(ids))
    random.seed(len(ids))
    filler.make_due([])
    passes.ask("heartbeat")

    def beat() -> float:
        filler.make_due(random.sample(ids, due))
        before = filler.cpu_s()
        spent = passes.ask("heartbeat")
        return float(1000 * (spent["cpu_s"] + filler.cpu_s() - before) / due)

    def wall_ms(work: str) -> Callable[[], float]:
        return lambda: float(1000 * passes.ask(work)["wall_s"])

    return {
        "heartbeat_cpu_ms": spread([beat() for _ in range(rounds)], 4),
        "recovery_ms": _median_of(wall_ms("recover"), 15),
        "status_ms": _median_of(wall_ms("status"), 9),
    }


def _median_of(call: Callable[[], float], times: int) -> dict[str, Any]:
    call()  # the first one loads the script
    return spread([call() for _ in range(times)])
