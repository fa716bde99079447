"""State the goals of the measures, and whether the figures meet them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from bridge.settings import Settings

LOOK_AHEAD, LOOK_AHEAD_MOST = (
    Settings.model_fields[name].default for name in ("look_ahead", "look_ahead_most")
)
"""The bridge's defaults: claims per slot, and how many may wait for a slot where jobs are short."""

COST_LIMITS = {
    "threads": {"threads-16": 0.55, "threads-100": 0.45, "heaviside": 1.0, "floors": 1.3},
    "16 slots": {"threads-16": 0.65, "floors": 1.3},
    "prefork": {"threads-16": 0.8, "floors": 1.3},
}
"""Way of running the bridge → contestant → the most that the ratio of their CPU may be."""

COST_LABELS = {
    "threads-16": "thread worker, 16 threads",
    "threads-100": "thread worker, 100 threads",
    "heaviside": "heaviside",
    "floors": "Celery alone + signed HTTP",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure and its limit.

    Attributes:
        measure: The measure that the figure is of.
        what: The figure's name for people.
        value: What was measured.
        sign: ``"≤"`` or ``"≥"``: on which side of the limit the value must be.
        unit: Of value and limit; ``"×"`` is a ratio.
    """

    measure: str = ""
    what: str
    value: float
    sign: str
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.sign == "≤" else self.value >= self.limit

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def judge(measures: dict[str, Any]) -> list[Goal]:
    """The goals of those measures that were measured."""
    goals_of = {
        "cost": _cost,
        "latency": _latency,
        "heartbeats": _heartbeats,
        "polls": _polls,
        "switch": _switch,
        "grant": _grant,
        "growth": _growth,
    }
    return [
        replace(goal, measure=name)
        for name, goals in goals_of.items()
        if name in measures
        for goal in goals(measures[name])
    ]


def _at_most(limit: float, unit: str, what: str, *, value: float) -> Goal:
    return Goal(what=what, value=value, sign="≤", limit=limit, unit=unit)


def _at_least(limit: float, unit: str, what: str, *, value: float) -> Goal:
    return Goal(what=what, value=value, sign="≥", limit=limit, unit=unit)


def _cost(measured: dict[str, Any]) -> Iterator[Goal]:
    for way, ratios in measured["ratios"].items():
        for name, limit in COST_LIMITS[way].items():
            if name in ratios["cpu"]:
                what = f"CPU per task ({way}) / {COST_LABELS[name]}"
                yield _at_most(limit, "×", what, value=ratios["cpu"][name]["median"])
        best = measured["contestants"][ratios["best_threads"]]["label"]
        what = f"tasks/s ({way}) / best thread worker ({best})"
        yield _at_least(1.5, "×", what, value=ratios["speed"]["median"])
    stub_shares = [
        contestant["stub_share"]["median"]
        for contestant in measured["contestants"].values()
        if contestant["stub_cpu_ms"]["median"]
    ]
    yield _at_most(0.1, "×", "the stub's CPU / the contestant's, at most", value=max(stub_shares))


def _latency(measured: dict[str, Any]) -> Iterator[Goal]:
    for pool, over_celery in measured["over_celery_ms"].items():
        idle = measured["contestants"][f"bridge-{pool}"]["idle"]
        begin, report = idle["to_begin"], idle["to_report"]
        what = f"scheduled → begun ({pool}), p50 idle, over Celery alone"
        yield _at_most(3.0, "ms", what, value=over_celery["median"])
        what = f"scheduled → begun ({pool}), idle, p99 / p50"
        yield _at_most(5.0, "×", what, value=round(begin["p99_ms"] / begin["p50_ms"], 2))
        what = f"ended → reported ({pool}), p50 idle"
        yield _at_most(5.0, "ms", what, value=report["p50_ms"])


def _heartbeats(measured: dict[str, Any]) -> Iterator[Goal]:
    what = "CPU per heartbeat, store included / boto3 on 16 threads"
    yield _at_most(0.25, "×", what, value=measured["ratio"]["median"])
    what = "tokens that one core carries at 20 s"
    yield _at_least(60_000, "", what, value=measured["tokens_per_core"])


def _polls(measured: dict[str, Any]) -> Iterator[Goal]:
    yield _at_most(60, "MB", "RSS of a poller at rest", value=measured["base_rss_mb"])
    for row in measured["pollers"]:
        polls = f"{row['polls']:,} polls over {row['activities']:,}"
        if row["polls"] == row["activities"] == 100:
            yield _at_most(1, "%", f"{polls}: idle CPU", value=row["idle_cpu_percent"])
        if row["polls"] != 1_000:
            continue
        what = f"{polls}: RSS of each over the base"
        yield _at_most(30, "KB", what, value=row["rss_kb_per_poll"])
        yield _at_most(1, "%", f"{polls}: idle CPU", value=row["idle_cpu_percent"])
        yield _at_most(0, "", f"{polls}: threads for them", value=row["threads_over_base"])


def _switch(measured: dict[str, Any]) -> Iterator[Goal]:
    slots = measured["slots"]
    short, long = f"{measured['short_ms']} ms", f"{measured['long_ms'] / 1e3:g} s"
    ahead = f"fetched ahead of {slots} slots"
    yield _at_most(
        round(LOOK_AHEAD_MOST * slots),
        "",
        f"{ahead} as jobs of {short} become {long}",
        value=measured["at_switch"],
    )
    yield _at_most(
        math.ceil(LOOK_AHEAD * slots) - slots,
        "",
        f"{ahead} as jobs of {long} run",
        value=measured["while_long"],
    )
    # Jobs that run when the twentieth ends may end before the tasks arrive that are then asked for.
    never = measured["back_within"] is None
    yield _at_most(
        20 + slots,
        "",
        f"jobs of {short} after {long} until more is {ahead}",
        value=measured["short"] if never else measured["back_within"],
    )


def _grant(measured: dict[str, Any]) -> Iterator[Goal]:
    slowest = max(measured["rows"], key=lambda row: row["p50_ms"])
    what = f"a grant of polls, p50 in Redis ({slowest['fill']})"
    yield _at_most(0.5, "ms", what, value=slowest["p50_ms"])


def _growth(measured: dict[str, Any]) -> Iterator[Goal]:
    rows = [row for row in measured["rows"] if row["activities"] == 1]
    first, last = rows[0], rows[-1]
    what = "Redis per claim in flight, beyond token and input"
    yield _at_most(600, "bytes", what, value=last["bytes_per_claim"])
    what = f"cost per heartbeat, {last['claims']:,} claims / {first['claims']:,}"
    yield _at_most(1.3, "×", what, value=last["heartbeat_to_small"]["median"])
    what = f"recovery of {last['claims']:,} claims, none due"
    yield _at_most(5, "ms", what, value=last["recovery_ms"]["median"])
