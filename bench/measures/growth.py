"""Measure whether more claims in flight cost more, and how much of Redis's memory a claim takes.

The store is filled by its own scripts (``bench.store_filler``) with claims that run and are not
due. Then a process runs beat's passes: heartbeats of some claims drawn from all, recovery with no
claim to recover, and the reads of ``status``. Heartbeat passes take turns with passes over a small
store, and each is compared with the small store's pass of its round.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from bench.jobs import activity_names
from bench.measures.run import Run
from bench.program_process import ProgramProcess
from bench.stats import ratios, spread
from bench.store_filler import BATCH, INPUT, LEASE_S, Filler, settings_of
from bench.stub import TOKEN_BYTES
from bridge.local.valkey import LocalValkey
from bridge.settings import Settings
from bridge.store import ClaimStore

SMALL = 1_000
QUICK = (SMALL, 10_000)
FULL = (SMALL, 10_000, 100_000)
MILLION = 1_000_000
ACTIVITIES, WORKERS = 100, 64
MESSAGES = 5_000
"""Jobs that are published, and claims that are closed, to measure the memory of one."""
DUE = 1_000
"""Heartbeats of one pass."""


def run(bench: Run) -> dict[str, Any]:
    """Measure; a row for each number of claims, and the bytes of a claim and a message."""
    sizes: tuple[int, ...] = QUICK if bench.quick else FULL
    if bench.million:
        sizes = (*FULL, MILLION)
    with _FilledStore(bench, "growth-small") as small:
        small.fill_to(SMALL)
        rows = _rows(bench, small, activities=1, workers=1, sizes=sizes)
        if not bench.quick:
            rows += _rows(bench, small, activities=ACTIVITIES, workers=WORKERS, sizes=(FULL[-1],))
    return {
        "rows": rows,
        "due": DUE,
        "token_bytes": TOKEN_BYTES,
        "input_bytes": len(INPUT),
        **_message_and_closed_bytes(bench),
    }


def _message_and_closed_bytes(bench: Run) -> dict[str, int]:
    """Redis's bytes of a closed claim, and of a job's message beyond its argument."""
    name = "growth-left"
    with LocalValkey() as valkey:
        settings = settings_of(valkey.url, name)
        filler = Filler(settings)
        filler.announce(1)
        publisher = passes_program(
            name,
            activities=1,
            store_url=valkey.url,
            endpoint=bench.stub.url,
            folder=bench.folder,
        )

        def close() -> None:
            close_all(settings, filler.fill(MESSAGES, activities=[name]))

        def publish() -> None:
            publisher.ask(f"publish {MESSAGES}")

        try:
            closed, message = (_bytes_each(filler, work) for work in (close, publish))
        finally:
            publisher.stop()
            filler.close()
    input_in_base64 = 4 / 3 * len(INPUT)
    return {
        "bytes_per_closed_claim": round(closed),
        "bytes_per_message": round(message - input_in_base64),
    }


def _bytes_each(filler: Filler, work: Callable[[], None]) -> float:
    """Memory that each of ``MESSAGES`` takes; the first time also creates scripts and bindings."""
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


def passes_program(
    name: str, *, activities: int, store_url: str, endpoint: str, folder: Path
) -> ProgramProcess:
    """A process that runs beat's passes on request; see ``bench.programs.passes``."""
    return ProgramProcess(
        "passes",
        endpoint=endpoint,
        folder=folder,
        BENCH_ACTIVITY=name,
        BENCH_ACTIVITIES=str(activities),
        BRIDGE_LEASE_S=str(LEASE_S),
        BRIDGE_STORE_PREFIX=name,
        BRIDGE_TASKS="bench.jobs",
        CELERY_BROKER_URL=store_url,
    )


class _FilledStore:
    """A store with claims that run and are not due, and a process that runs passes over it."""

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
        self._passes = passes_program(
            self._name,
            activities=self._activities,
            store_url=valkey.url,
            endpoint=self._bench.stub.url,
            folder=self._bench.folder,
        )
        self._exit.callback(self._passes.stop)
        return self

    def __exit__(self, *exc: object) -> None:
        self._exit.close()

    def fill_to(self, size: int) -> None:
        """Add claims until there are ``size``, and run each pass once, to load its scripts."""
        self._ids += self._filler.fill(
            size - len(self._ids),
            activities=activity_names(self._name, self._activities),
            workers=self._workers,
        )
        self._filler.make_due([])
        for work in ("heartbeat", "recover", "status"):
            self._passes.ask(work)

    def bytes_per_claim(self) -> float:
        """Redis's bytes of a claim, beyond token and input."""
        used = self._filler.used_bytes() - self._empty_bytes
        return used / len(self._ids) - TOKEN_BYTES - len(INPUT)

    def heartbeat_cpu_ms(self) -> float:
        """CPU of a heartbeat, in a pass over claims drawn from all."""
        due = min(DUE, len(self._ids))
        self._filler.make_due(random.sample(self._ids, due))
        before = self._filler.cpu_s()
        spent = self._passes.ask("heartbeat")
        return float(1000 * (spent["cpu_s"] + self._filler.cpu_s() - before) / due)

    def wall_ms(self, work: str) -> float:
        """How long one ``recover`` or ``status`` takes."""
        return float(1000 * self._passes.ask(work)["wall_s"])


def _rows(
    bench: Run, small: _FilledStore, *, activities: int, workers: int, sizes: tuple[int, ...]
) -> list[dict[str, Any]]:
    """A row for each size."""
    rows = []
    rounds = 3 if bench.quick else 7
    random.seed(activities)
    name = f"growth-{activities}"
    with _FilledStore(bench, name, activities=activities, workers=workers) as store:
        for size in sizes:
            bench.say(f"growth: {size:,} claims, {activities} activities, {workers} workers")
            store.fill_to(size)
            of_small, of_large = [], []
            for _ in range(rounds):
                of_small.append(small.heartbeat_cpu_ms())
                of_large.append(store.heartbeat_cpu_ms())
            rows.append(
                {
                    "claims": size,
                    "activities": activities,
                    "workers": workers,
                    "bytes_per_claim": round(store.bytes_per_claim()),
                    "heartbeat_cpu_ms": spread(of_large, 4),
                    "heartbeat_to_small": ratios(of_large, of_small),
                    "recovery_ms": spread([store.wall_ms("recover") for _ in range(15)]),
                    "status_ms": spread([store.wall_ms("status") for _ in range(9)]),
                }
            )
    return rows
