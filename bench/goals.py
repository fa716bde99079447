"""What the measures should come to, and whether they do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bridge.settings import Settings

LOOK_AHEAD, LOOK_AHEAD_MOST = (
    Settings.model_fields[name].default for name in ("look_ahead", "look_ahead_most")
)
"""The bridge's defaults: claims per slot, and what may wait for one where jobs are short."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure beside what it should be.

    Attributes:
        measure: Which measure the figure is of.
        what: For people.
        value: Measured.
        sign: ``"≤"`` or ``"≥"``.
        limit: What is wanted, in the same unit.
        unit: ``"×"`` is a ratio.
    """

    measure: str
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
    """The goals of the measures that there are."""
    judges = {
        "cost": _cost,
        "latency": _latency,
        "heartbeats": _heartbeats,
        "polls": _polls,
        "switch": _switch,
        "grant": _grant,
        "growth": _growth,
    }
    return [goal for name, of in judges.items() if name in measures for goal in of(measures[name])]


COST_LIMITS = {
    "threads": {"threads-16": 0.55, "threads-100": 0.45, "heaviside": 1.0, "floors": 1.3},
    "16 slots": {"threads-16": 0.65, "floors": 1.3},
    "prefork": {"threads-16": 0.8, "floors": 1.3},
}
"""CPU of each way of running the bridge, as a multiple of the contestant's."""


def _cost(found: dict[str, Any]) -> Iterator[Goal]:
    words = {
        "threads-16": "thread worker, 16 threads",
        "threads-100": "thread worker, 100 threads",
        "heaviside": "heaviside",
        "floors": "Celery alone + signed HTTP",
    }
    for way, each in found["ratios"].items():
        for name, limit in COST_LIMITS[way].items():
            if name in each["cpu"]:
                what = f"CPU per task ({way}) / {words[name]}"
                yield Goal("cost", what, each["cpu"][name]["median"], "≤", limit, "×")
        best = found["contestants"][each["best_threads"]]["label"]
        what = f"tasks/s ({way}) / best thread worker ({best})"
        yield Goal("cost", what, each["speed"]["median"], "≥", 1.5, "×")
    shares = [
        each["stub_share"]["median"]
        for each in found["contestants"].values()
        if each["stub_cpu_ms"]["median"]
    ]
    yield Goal(
        "cost", "the stub's CPU / that of whom it serves, at most", max(shares), "≤", 0.1, "×"
    )


def _latency(found: dict[str, Any]) -> Iterator[Goal]:
    for pool, over in found["over_celery_ms"].items():
        idle = found["contestants"][f"bridge-{pool}"]["idle"]
        begin, report = idle["to_begin"], idle["to_report"]
        yield Goal(
            "latency",
            f"scheduled → begun ({pool}), p50 idle, over Celery alone",
            over["median"],
            "≤",
            3.0,
            "ms",
        )
        yield Goal(
            "latency",
            f"scheduled → begun ({pool}), idle, p99 / p50",
            round(begin["p99_ms"] / begin["p50_ms"], 2),
            "≤",
            5.0,
            "×",
        )
        yield Goal(
            "latency", f"ended → reported ({pool}), p50 idle", report["p50_ms"], "≤", 5.0, "ms"
        )


def _heartbeats(found: dict[str, Any]) -> Iterator[Goal]:
    yield Goal(
        "heartbeats",
        "CPU per heartbeat, store included / boto3 on 16 threads",
        found["ratio"]["median"],
        "≤",
        0.25,
        "×",
    )
    yield Goal(
        "heartbeats",
        "tokens that one core carries at 20 s",
        found["tokens_per_core"],
        "≥",
        60_000,
        "",
    )


def _polls(found: dict[str, Any]) -> Iterator[Goal]:
    yield Goal("polls", "RSS of a poller at rest", found["base_rss_mb"], "≤", 60, "MB")
    for row in found["pollers"]:
        where = f"{row['polls']:,} polls over {row['activities']:,}"
        if row["polls"] == row["activities"] == 100:
            yield Goal("polls", f"{where}: idle CPU", row["idle_cpu_percent"], "≤", 1, "%")
        if row["polls"] != 1_000:
            continue
        yield Goal(
            "polls", f"{where}: RSS of each over the base", row["rss_kb_per_poll"], "≤", 30, "KB"
        )
        yield Goal("polls", f"{where}: idle CPU", row["idle_cpu_percent"], "≤", 1, "%")
        yield Goal("polls", f"{where}: threads for them", row["threads_over_base"], "≤", 0, "")


def _switch(found: dict[str, Any]) -> Iterator[Goal]:
    slots, short, long = found["slots"], f"{found['short_ms']} ms", f"{found['long_ms'] / 1e3:g} s"
    ahead = f"fetched ahead of {slots} slots"
    limits = {
        "at_switch": round(LOOK_AHEAD_MOST * slots),
        "while_long": math.ceil(LOOK_AHEAD * slots) - slots,
    }
    words = {"at_switch": f"jobs of {short} become {long}", "while_long": f"jobs of {long} run"}
    for part, limit in limits.items():
        yield Goal("switch", f"{ahead} as {words[part]}", found[part], "≤", limit, "")
    # Those that run when the twentieth ends may end before what is asked for then has come.
    back = found["short"] if found["back_within"] is None else found["back_within"]
    yield Goal(
        "switch", f"jobs of {short} after {long} until more is {ahead}", back, "≤", 20 + slots, ""
    )


def _grant(found: dict[str, Any]) -> Iterator[Goal]:
    dearest = max(found["rows"], key=lambda row: row["p50_ms"])
    what = f"a grant of polls, p50 in Redis ({dearest['fill']})"
    yield Goal("grant", what, dearest["p50_ms"], "≤", 0.5, "ms")


def _growth(found: dict[str, Any]) -> Iterator[Goal]:
    line = [row for row in found["rows"] if row["activities"] == 1]
    first, last = line[0], line[-1]
    yield Goal(
        "growth",
        "Redis per claim in flight, beyond token and input",
        last["bytes_per_claim"],
        "≤",
        600,
        "bytes",
    )
    yield Goal(
        "growth",
        f"cost per heartbeat, {last['claims']:,} claims / {first['claims']:,}",
        last["heartbeat_to_small"]["median"],
        "≤",
        1.3,
        "×",
    )
    yield Goal(
        "growth",
        f"recovery of {last['claims']:,} claims, none due",
        last["recovery_ms"]["median"],
        "≤",
        5,
        "ms",
    )
