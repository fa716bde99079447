"""Whether anything costs more with more claims in flight; and what a claim takes of Redis's memory.

The store is filled by its own scripts (``bench.fill``) with claims that run, none of them due. Then
passes run in a process of their own, as in the beat's: heartbeats of some claims spread over all of
them, recovery with nothing to recover, and what ``status`` reads. Heartbeats are compared with
those of a small store, in turns with it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from bench.fill import BATCH, INPUT, LEASE_S, Filler, settings_of
from bench.jobs import activity_names
from bench.measures.run import Run
from bench.stats import ratios, spread
from bench.stub import TOKEN_BYTES
from bench.talking import Talking
from bridge.local.valkey import LocalValkey
from bridge.settings import Settings
from bridge.store import ClaimStore

SMALL = 1_000
QUICK = (SMALL, 10_000)
FULL = (SMALL, 10_000, 100_000)
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
    with Filled(bench, "growth-small") as small:
        small.fill_to(SMALL)
        rows = [
            row
            for activities, workers, chosen in shapes
            for row in _rows(bench, small, activities, workers, chosen)
        ]
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


def passes_of(name: str, activities: int, url: str, *, endpoint: str, folder: Path) -> Talking:
    """A process that runs the beat process's passes when told to."""
    return Talking(
        "passes",
        endpoint=endpoint,
        folder=folder,
        BENCH_ACTIVITY=name,
        BENCH_ACTIVITIES=str(activities),
        BRIDGE_LEASE_S=str(LEASE_S),
        BRIDGE_STORE_PREFIX=name,
        BRIDGE_TASKS="bench.jobs",
        CELERY_BROKER_URL=url,
    )


class Filled:
    """A store with claims that run, none of them due, and a process that runs passes over it."""

    def __init__(self, bench: Run, name: str, *, activities: int = 1, workers: int = 1) -> None:
        self._bench, self._name = bench, name
        self._activities, self._workers = activities, workers
        self._ids: list[str] = []
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        valkey = self._exit.enter_context(LocalValkey())
        self._filler = Filler(settings_of(valkey.url, self._name))
        self._exit.callback(self._filler.close)
        self._filler.announce(self._workers)
        self._empty_bytes = self._filler.used_bytes()
        self._passes = passes_of(
            self._name,
            self._activities,
            valkey.url,
            endpoint=self._bench.stub.url,
            folder=self._bench.folder,
        )
        self._exit.callback(self._passes.stop)
        return self

    def __exit__(self, *exc: object) -> None:
        self._exit.close()

    def fill_to(self, size: int) -> None:
        """Have so many claims; the first passes load scripts, and are not measured."""
        self._ids += self._filler.fill(
            size - len(self._ids),
            activities=activity_names(self._name, self._activities),
            workers=self._workers,
        )
        self._filler.make_due([])
        for work in ("heartbeat", "recover", "status"):
            self._passes.ask(work)

    def bytes_per_claim(self) -> float:
        """Of Redis, beyond token and input."""
        used = self._filler.used_bytes() - self._empty_bytes
        return used / len(self._ids) - TOKEN_BYTES - len(INPUT)

    def heartbeat_cpu_ms(self) -> float:
        """Of a heartbeat, in a pass over claims drawn from all."""
        due = min(DUE, len(self._ids))
        self._filler.make_due(random.sample(self._ids, due))
        before = self._filler.cpu_s()
        spent = self._passes.ask("heartbeat")
        return float(1000 * (spent["cpu_s"] + self._filler.cpu_s() - before) / due)

    def wall_ms(self, work: str) -> float:
        """Of one ``recover`` or ``status``."""
        return float(1000 * self._passes.ask(work)["wall_s"])


def _rows(
    bench: Run, small: Filled, activities: int, workers: int, sizes: tuple[int, ...]
) -> list[dict[str, Any]]:
    rows = []
    rounds = 3 if bench.quick else 7
    random.seed(activities)
    with Filled(bench, f"growth-{activities}", activities=activities, workers=workers) as store:
        for size in sizes:
            bench.say(f"growth: {size:,} claims, {activities} activities, {workers} workers")
            store.fill_to(size)
            pairs = [(small.heartbeat_cpu_ms(), store.heartbeat_cpu_ms()) for _ in range(rounds)]
            rows.append(
                {
                    "claims": size,
                    "activities": activities,
                    "workers": workers,
                    "bytes_per_claim": round(store.bytes_per_claim()),
                    "heartbeat_cpu_ms": spread([large for _, large in pairs], 4),
                    "heartbeat_to_small": ratios(
                        [large for _, large in pairs], [little for little, _ in pairs]
                    ),
                    "recovery_ms": spread([store.wall_ms("recover") for _ in range(15)]),
                    "status_ms": spread([store.wall_ms("status") for _ in range(9)]),
                }
            )
    return rows
