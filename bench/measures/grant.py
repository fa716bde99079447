"""What a grant of polls takes of Redis: a fleet of 300 workers, two pollers, 100 activities.

By the server's own clock, ask by ask. Each ask says anew what its poller has, so that all of a fill
are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from bench.fill import settings_of
from bench.ledger import Ledger, Shape
from bench.measures.run import Run
from bench.stats import percentile
from bridge.local.valkey import LocalValkey
from bridge.store import Wish
from bridge.store.records import Grant

POLLERS = ("poller-1", "poller-2")


@dataclass(frozen=True, slots=True)
class Fill:
    """A state of the ledger, and what the pollers ask in it.

    Attributes:
        wishes: Of each of the two pollers.
    """

    what: str
    prepare: Callable[[Ledger], object]
    wishes: Callable[[Ledger], Sequence[list[Wish]]]


def _half_busy(ledger: Ledger) -> None:
    """Long jobs on half of the slots; some of what waits is short."""
    names = list(ledger.activities)
    ledger.run_short(names[::2])
    ledger.occupy_otherwise(ledger.shape.workers // 10)
    ledger.occupy(names[1::2], ledger.shape.workers * ledger.shape.slots // 2)
    ledger.wait(names[: len(names) // 2], 60)


def _full(ledger: Ledger) -> None:
    _half_busy(ledger)
    ledger.occupy(list(ledger.activities)[1::2], ledger.shape.workers * ledger.shape.slots)


def _skewed(ledger: Ledger) -> None:
    """All that waits is of one queue, so that what it may use is what others leave."""
    names = list(ledger.activities)
    ledger.run_short(names[::3])
    ledger.occupy(names[:: ledger.shape.queues], ledger.shape.slots * 40)
    ledger.wait(names[1 :: ledger.shape.queues], ledger.shape.slots * 40)


def _idle_of_one(ledger: Ledger) -> list[list[Wish]]:
    """An idle poll on each activity, half of them of each poller."""
    rows = list(ledger.activities.items())
    return [
        [Wish(name, queue, 0, 1, int(n % 2 == part)) for n, (name, queue) in enumerate(rows)]
        for part in (0, 1)
    ]


def _some_busy(ledger: Ledger) -> list[list[Wish]]:
    """20 activities with a fresh poll that want one more; an idle poll on each of the others."""
    rows = list(ledger.activities.items())
    return [
        [
            Wish(name, queue, 1, 1) if n < 20 else Wish(name, queue, 0, 0, int(n % 2 == part))
            for n, (name, queue) in enumerate(rows)
        ]
        for part in (0, 1)
    ]


def _alike(fresh: int, want: int, *, only: range | None = None) -> Callable[..., list[list[Wish]]]:
    return lambda ledger: [ledger.wishes(fresh, 0, want, only=only) for _ in POLLERS]


FILLS = (
    Fill("idle fleet, two polls each wanted", lambda _: None, _alike(0, 2)),
    Fill("idle fleet, an idle poll open on each", lambda _: None, _idle_of_one),
    Fill("idle fleet, 10 more wanted on 20 of them", lambda _: None, _alike(2, 10, only=range(20))),
    Fill(
        "half busy, 60 waiting, 20 busy activities, the others' queues are empty",
        _half_busy,
        _some_busy,
    ),
    Fill("half busy, 60 waiting, one more wanted on each", _half_busy, _alike(1, 1)),
    Fill("one queue's claims wait, one more wanted on each", _skewed, _alike(1, 1)),
    Fill("full, one wanted on each", _full, _alike(0, 1)),
)


def run(bench: Run) -> dict[str, Any]:
    """Returns for each fill the median and the 99th percentile in ms, and what was granted."""
    return measure(Shape(), samples=200 if bench.quick else 1_000, say=bench.say)


def measure(shape: Shape, *, samples: int, say: Callable[[str], None]) -> dict[str, Any]:
    rows = []
    with LocalValkey() as valkey, redis.Redis.from_url(valkey.url) as server:
        for number, fill in enumerate(FILLS):
            say(f"grant: {fill.what}")
            with Ledger(settings_of(valkey.url, f"grant-{number}"), shape) as ledger:
                fill.prepare(ledger)
                wishes = fill.wishes(ledger)
                rows.append({"fill": fill.what, **_asked(ledger, server, wishes, samples)})
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


def _asked(
    ledger: Ledger, server: redis.Redis, wishes: Sequence[list[Wish]], samples: int
) -> dict[str, Any]:
    def ask(number: int) -> Grant:
        part = number % len(POLLERS)
        return ledger.ask(POLLERS[part], wishes[part])

    first = [ask(number) for number in range(2 * len(POLLERS))][-1]
    took_ms = []
    for number in range(samples):
        before_us = _scripts_us(server)
        ask(number)
        took_ms.append((_scripts_us(server) - before_us) / 1000)
    refused: dict[str, int] = {}
    for why in first.refused:
        said = str(why) or "nothing refused"
        refused[said] = refused.get(said, 0) + 1
    return {
        "p50_ms": round(percentile(took_ms, 50), 3),
        "p99_ms": round(percentile(took_ms, 99), 3),
        "granted": sum(first.polls),
        "refused": refused,
    }


def _scripts_us(server: redis.Redis) -> int:
    """What all calls of scripts by digest have taken so far, in µs.

    Source: INFO commandstats. SLOWLOG would do for the script, and note each of its commands.
    """
    return int(server.info("commandstats")["cmdstat_evalsha"]["usec"])
