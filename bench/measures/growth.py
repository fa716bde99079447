"""Whether anything costs more with more claims in flight; and what a claim takes of Redis's memory.

The store is filled by its own scripts (``bench.fill``) with claims that run, none of them due. Then
passes run in a process of their own, as in the beat's: heartbeats of some claims spread over all of
them, recovery with nothing to recover, and what ``status`` reads.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.fill import BATCH, INPUT, LEASE_S, Filler, settings_of
from bench.jobs import activity_names
from bench.measures.run import Run
from bench.stats import spread
from bench.stub import TOKEN_BYTES
from bench.talking import Talking
from bridge.local.valkey import LocalValkey
from bridge.settings import Settings
from bridge.store import ClaimStore

QUICK = (1_000, 10_000)
FULL = (1_000, 10_000, 100_000)
MILLION = 1_000_000
ACTIVITIES, WORKERS = 100, 64
MESSAGES = 5_000
"""Jobs that are published, and claims that are closed, to see what one takes of memory."""
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
    return {
        "rows": rows,
        "due": DUE,
        "token_bytes": TOKEN_BYTES,
        "input_bytes": len(INPUT),
        **_left(bench),
    }


def _left(bench: Run) -> dict[str, int]:
    """Redis's bytes of a claim that is closed, and of a job's message beyond its argument."""
    name = "growth-left"
    with LocalValkey() as valkey:
        settings = settings_of(valkey.url, name)
        filler = Filler(settings)
        filler.announce(1)
        publisher = passes_of(name, 1, valkey.url, endpoint=bench.stub.url, folder=bench.folder)

        def close() -> None:
            close_all(settings, filler.fill(MESSAGES, activities=[name]))

        def publish() -> None:
            publisher.ask(f"publish {MESSAGES}")

        try:
            closed, message = (_bytes_each(filler, work) for work in (close, publish))
        finally:
            publisher.stop()
            filler.close()
    in_base64 = 4 / 3 * len(INPUT)
    return {
        "bytes_per_closed_claim": round(closed),
        "bytes_per_message": round(message - in_base64),
    }


def _bytes_each(filler: Filler, work: Callable[[], None]) -> float:
    """What one more of it takes; the first time brings scripts, tables and bindings as well."""
    work()
    before = filler.used_bytes()
    work()
    return (filler.used_bytes() - before) / MESSAGES


def close_all(settings: Settings, ids: list[str]) -> None:
    """Close claims as if Step Functions had taken their reports."""

    async def close() -> None:
        store = ClaimStore(settings)
        for start in range(0, len(ids), BATCH):
            await store.close_claims(ids[start : start + BATCH], reason="bench")
        await store.close()

    asyncio.run(close())


def passes_of(
    name: str, activities: int, url: str, *, endpoint: str, folder: Path
) -> Talking:  # fmt: skip
    """A process that runs the beat process's passes when told to."""
    return Talking(
        "passes", endpoint=endpoint, folder=folder, BENCH_ACTIVITY=name,
        BENCH_ACTIVITIES=str(activities), BRIDGE_LEASE_S=str(LEASE_S), BRIDGE_STORE_PREFIX=name,
        BRIDGE_TASKS="bench.jobs", CELERY_BROKER_URL=url,
    )  # fmt: skip


def _rows(
    bench: Run, activities: int, workers: int, sizes: tuple[int, ...]
) -> list[dict[str, Any]]:
    name, rows = f"growth-{activities}", []
    names = activity_names(name, activities)
    with LocalValkey() as valkey:
        filler = Filler(settings_of(valkey.url, name))
        filler.announce(workers)
        empty = filler.used_bytes()
        passes = passes_of(
            name, activities, valkey.url, endpoint=bench.stub.url, folder=bench.folder
        )
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
