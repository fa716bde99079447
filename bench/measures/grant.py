"""Measure how long a grant of polls takes in Redis, with 300 workers and 100 activities.

Two pollers ask in turns. The time of each request is by the server's own clock. Each request states
anew which polls its poller has, so all requests in one state of the store are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from bench.measures.run import Run
from bench.stats import percentile
from bench.store_filler import settings_of
from bench.store_fleet import FleetShape, StoreFleet
from bridge.local.valkey import LocalValkey
from bridge.store import Wish
from bridge.store.records import Grant

POLLERS = ("poller-1", "poller-2")


@dataclass(frozen=True, slots=True)
class Fill:
    """A state of the store, and what the pollers ask for in it.

    Attributes:
        what: Both, for people.
        prepare: Brings the store into that state.
        wishes: What each of the two pollers asks for.
    """

    what: str
    prepare: Callable[[StoreFleet], object]
    wishes: Callable[[StoreFleet], Sequence[list[Wish]]]


def _half_busy(fleet: StoreFleet) -> None:
    """Long jobs on half of the slots, and waiting claims, of which some are short."""
    names = list(fleet.activities)
    fleet.run_short(names[::2])
    fleet.occupy_otherwise(fleet.shape.workers // 10)
    fleet.occupy(names[1::2], fleet.shape.workers * fleet.shape.slots // 2)
    fleet.wait(names[: len(names) // 2], 60)


def _full(fleet: StoreFleet) -> None:
    _half_busy(fleet)
    fleet.occupy(list(fleet.activities)[1::2], fleet.shape.workers * fleet.shape.slots)


def _skewed(fleet: StoreFleet) -> None:
    """All waiting claims are of one queue, which may use only what the others leave free."""
    names = list(fleet.activities)
    fleet.run_short(names[::3])
    fleet.occupy(names[:: fleet.shape.queues], fleet.shape.slots * 40)
    fleet.wait(names[1 :: fleet.shape.queues], fleet.shape.slots * 40)


def _idle_of_one(fleet: StoreFleet) -> list[list[Wish]]:
    """An idle poll on each activity; each poller has half of them."""
    rows = list(fleet.activities.items())
    return [
        [
            Wish(name, queue, fresh=0, want=1, idle=int(n % 2 == part))
            for n, (name, queue) in enumerate(rows)
        ]
        for part in (0, 1)
    ]


def _some_busy(fleet: StoreFleet) -> list[list[Wish]]:
    """One more poll for each of 20 activities with a fresh poll; all others have an idle poll."""
    rows = list(fleet.activities.items())
    return [
        [
            Wish(name, queue, fresh=1, want=1)
            if n < 20
            else Wish(name, queue, fresh=0, want=0, idle=int(n % 2 == part))
            for n, (name, queue) in enumerate(rows)
        ]
        for part in (0, 1)
    ]


def _alike(
    *, fresh: int, want: int, only: range | None = None
) -> Callable[[StoreFleet], list[list[Wish]]]:
    """Both pollers ask for the same."""
    return lambda fleet: [fleet.wishes(fresh=fresh, want=want, only=only) for _ in POLLERS]


FILLS = (
    Fill("idle fleet, two polls each wanted", lambda _: None, _alike(fresh=0, want=2)),
    Fill("idle fleet, an idle poll open on each", lambda _: None, _idle_of_one),
    Fill(
        "idle fleet, 10 more wanted on 20 of them",
        lambda _: None,
        _alike(fresh=2, want=10, only=range(20)),
    ),
    Fill(
        "half busy, 60 waiting, 20 busy activities, the others' queues are empty",
        _half_busy,
        _some_busy,
    ),
    Fill("half busy, 60 waiting, one more wanted on each", _half_busy, _alike(fresh=1, want=1)),
    Fill("one queue's claims wait, one more wanted on each", _skewed, _alike(fresh=1, want=1)),
    Fill("full, one wanted on each", _full, _alike(fresh=0, want=1)),
)


def run(bench: Run) -> dict[str, Any]:
    """Measure; p50 and p99 in ms for each fill, and how many polls were granted."""
    return measure(FleetShape(), samples=200 if bench.quick else 1_000, say=bench.say)


def measure(shape: FleetShape, *, samples: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure a fleet of this shape, ``samples`` requests for each fill."""
    rows = []
    with LocalValkey() as valkey, redis.Redis.from_url(valkey.url) as server:
        for number, fill in enumerate(FILLS):
            say(f"grant: {fill.what}")
            with StoreFleet(settings_of(valkey.url, f"grant-{number}"), shape) as fleet:
                fill.prepare(fleet)
                wishes = fill.wishes(fleet)
                rows.append({"fill": fill.what, **_measure_fill(fleet, server, wishes, samples)})
    return {
        "workers": shape.workers,
        "slots": shape.workers * shape.slots,
        "queues": shape.queues,
        "groups": shape.groups,
        "activities": shape.activities,
        "pollers": len(POLLERS),
        "samples": samples,
        "rows": rows,
    }


def _measure_fill(
    fleet: StoreFleet, server: redis.Redis, wishes: Sequence[list[Wish]], samples: int
) -> dict[str, Any]:
    def ask(number: int) -> Grant:
        part = number % len(POLLERS)
        return fleet.ask(POLLERS[part], wishes[part])

    first = [ask(number) for number in range(2 * len(POLLERS))][-1]
    took_ms = []
    for number in range(samples):
        before_us = _scripts_us(server)
        ask(number)
        took_ms.append((_scripts_us(server) - before_us) / 1000)
    refused: dict[str, int] = {}
    for why in first.refused:
        reason = str(why) or "nothing refused"
        refused[reason] = refused.get(reason, 0) + 1
    return {
        "p50_ms": round(percentile(took_ms, 50), 3),
        "p99_ms": round(percentile(took_ms, 99), 3),
        "granted": sum(first.polls),
        "refused": refused,
    }


def _scripts_us(server: redis.Redis) -> int:
    """How long all calls of scripts by digest have taken so far, in µs.

    Source: INFO commandstats. SLOWLOG would also log each command of a script.
    """
    return int(server.info("commandstats")["cmdstat_evalsha"]["usec"])
