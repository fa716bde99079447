"""Measure resident memory, idle CPU and threads of a poller that holds many polls.

The pollers run side by side; each is idle and has a store of its own. A poll returns after 60 s and
is opened again, so the first ones are held for 0 to 60 s: then the few seconds of the measure are
like any others. An idle activity has one open poll. To have more, ``bench.programs.wide_poller``
opens as many as after much work, and keeps them open although the store would grant one.

The measure notes a pass of heartbeats and one of recovery in each store every second, as a beat
process does; otherwise the pollers would do beat's work themselves.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Self

from bench.jobs import activity_names
from bench.measures.run import Run
from bench.processes import Process, Weight, environment, python, weigh
from bench.store_filler import Filler, settings_of
from bridge.local.valkey import LocalValkey
from bridge.store import ClaimStore, PassKind

FULL = (
    (100, 100),
    (1_000, 1_000),
    (1_000, 1),
    (1_000, 10),
    (1_000, 100),
    (5_000, 10),
    (5_000, 100),
)
"""(Polls, activities) of each poller; AWS allows at most 1,000 polls on one activity."""
QUICK = ((100, 100), (1_000, 100))
SETTLE_S = 1.5


@dataclass(slots=True, kw_only=True)
class WidePoller:
    """A poller that holds ``polls`` polls over ``activities`` activities."""

    polls: int
    activities: int
    process: Process
    prefix: str


def run(bench: Run) -> dict[str, Any]:
    """Measure; RSS in KB a poll over the base, idle CPU in percent of a core, and threads."""
    window_s = 3.0 if bench.quick else 20.0
    with LocalValkey() as valkey:
        pollers: list[WidePoller] = []
        bench.stub.spread(on=True)
        try:
            held = bench.stub.counts()["open"]
            for polls, activities in ((1, 1), *(QUICK if bench.quick else FULL)):
                bench.say(f"polls: {polls} over {activities} activities")
                pollers.append(_start(bench, valkey, polls, activities))
            bench.say("polls: waiting until all are open")
            # Not all at once: polls that have just returned are opened again a moment later.
            wanted = sum(poller.polls for poller in pollers)
            bench.stub.wait_open(held + int(0.95 * wanted))
            bench.say(f"polls: idle for {window_s:.0f} s")
            with _BeatStandIn(valkey.url, [poller.prefix for poller in pollers]) as beat:
                beat.run(SETTLE_S)
                before = [weigh(poller.process.pid) for poller in pollers]
                began = time.monotonic()
                beat.run(window_s)
                after = [weigh(poller.process.pid) for poller in pollers]
                lasted_s = time.monotonic() - began
        finally:
            bench.stub.spread(on=False)
            for poller in pollers:
                poller.process.stop()
    # The first poller has one poll: it is the base that the others are compared with.
    base_before, *befores = before
    base, *afters = after
    return {
        "window_s": window_s,
        "base_rss_mb": round(base.rss_bytes / 1e6, 1),
        "base_cpu_percent": round(100 * base.since(base_before).cpu_s / lasted_s, 2),
        "base_threads": base.threads,
        "pollers": [
            _row(poller, used=last.since(first), base=base, lasted_s=lasted_s)
            for poller, first, last in zip(pollers[1:], befores, afters, strict=True)
        ],
    }


def _row(poller: WidePoller, *, used: Weight, base: Weight, lasted_s: float) -> dict[str, Any]:
    return {
        "polls": poller.polls,
        "activities": poller.activities,
        "rss_mb": round(used.rss_bytes / 1e6, 1),
        "rss_kb_per_poll": round((used.rss_bytes - base.rss_bytes) / poller.polls / 1e3, 2),
        "idle_cpu_percent": round(100 * used.cpu_s / lasted_s, 2),
        "threads": used.threads,
        "threads_over_base": used.threads - base.threads,
    }


def _start(bench: Run, valkey: LocalValkey, polls: int, activities: int) -> WidePoller:
    name = f"polls-{polls}-{activities}"
    bench.stub.create(*activity_names(name, activities))
    filler = Filler(settings_of(valkey.url, name))
    filler.announce(1, slots=2 * polls)
    filler.close()
    env = environment(
        bench.stub.url,
        BENCH_ACTIVITY=name,
        BENCH_ACTIVITIES=str(activities),
        BENCH_WIDTH=str(polls // activities),
        BRIDGE_STORE_PREFIX=name,
        BRIDGE_TASKS="bench.jobs",
        CELERY_BROKER_URL=valkey.url,
    )
    args = python("-m", "bench.programs.wide_poller")
    process = Process(name, args, env=env, folder=bench.folder)
    return WidePoller(polls=polls, activities=activities, process=process, prefix=name)


class _BeatStandIn:
    """Notes passes in several stores, as beat processes do."""

    def __init__(self, url: str, prefixes: list[str]) -> None:
        self._runner = asyncio.Runner()
        self._settings = [settings_of(url, prefix) for prefix in prefixes]
        self._stores: list[ClaimStore] = []

    def __enter__(self) -> Self:
        self._runner.__enter__()
        self._stores = [ClaimStore(settings) for settings in self._settings]
        return self

    def __exit__(self, *exc: object) -> None:
        for store in self._stores:
            self._runner.run(store.close())
        self._runner.close()

    def run(self, seconds: float) -> None:
        """Note a pass of each kind every second, for ``seconds``."""

        async def note() -> None:
            for store in self._stores:
                await store.note_beat_pass(PassKind.HEARTBEAT)
                await store.take_heartbeats(1)
                await store.note_beat_pass(PassKind.RECOVERY)
                await store.find_lost(1)

        ends = time.monotonic() + seconds
        while (left_s := ends - time.monotonic()) > 0:
            self._runner.run(note())
            time.sleep(min(1.0, left_s))
