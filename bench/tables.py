"""Make tables of the results: rows of text, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Table:
    """Columns, rows of text, and a note."""

    title: str
    columns: list[str]
    note: str = ""
    rows: list[list[str]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """Add a row."""
        self.rows.append(list(cells))


def measure_tables(results: dict[str, Any]) -> Iterator[Table]:
    """A table for each measure of the results."""
    makers = {
        "cost": _cost,
        "latency": _latency,
        "heartbeats": _heartbeats,
        "polls": _polls,
        "switch": _switch,
        "grant": _grant,
        "growth": _growth,
    }
    for name, make in makers.items():
        if name in results["measures"]:
            yield make(results["measures"][name])


def goals_table(results: dict[str, Any]) -> Table:
    """Each goal beside the figure that was measured."""
    table = Table("Goals", ["figure", "measured", "goal", ""])
    for goal in results["goals"]:
        unit = goal["unit"] if goal["unit"] in ("×", "") else f" {goal['unit']}"
        digits = ",.4g" if goal["value"] < 1000 else ",.0f"
        table.add(
            goal["what"],
            f"{goal['value']:{digits}}{unit}",
            f"{goal['sign']} {goal['limit']:,g}{unit}",
            "ok" if goal["met"] else "not met",
        )
    return table


def _range(spread: dict[str, Any], digits: int = 2) -> str:
    low, high = spread["min"], spread["max"]
    return f"{spread['median']:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _cost(measured: dict[str, Any]) -> Table:
    ways = measured["ratios"]
    table = Table(
        "A no-op task, end to end",
        ["contestant", "CPU ms/task", "tasks/s", "RSS MB", "stub ms/task", "bridge is"],
        note=f"{measured['rounds']} rounds of {measured['tasks']} tasks, all contestants taking "
        "turns; median (min–max). The last column is the bridge's CPU to the contestant's, the "
        f"median of the rounds' ratios: with {', '.join(ways)}.",
    )
    for name, contestant in measured["contestants"].items():
        ratios = [way["cpu"][name]["median"] for way in ways.values() if name in way["cpu"]]
        table.add(
            contestant["label"],
            _range(contestant["cpu_ms"]),
            _range(contestant["tasks_per_s"], 0),
            f"{contestant['rss_mb']:.0f}",
            f"{contestant['stub_cpu_ms']['median']:.3f}",
            ", ".join(f"{ratio:.2f}×" for ratio in ratios),
        )
    return table


def _latency(measured: dict[str, Any]) -> Table:
    begun, reported = "→ begun", "→ reported"
    columns = [f"{way}, {load}" for way in (begun, reported) for load in ("idle", "half load")]
    table = Table(
        "Latency, ms: p50 / p99",
        ["contestant", *columns, "half load"],
        note=f"Idle: {measured['idle_per_s']:.0f} tasks/s. Half load: half of the tasks/s that the "
        "contestant did at saturation just before. Celery alone: from the job's publication.",
    )

    def pair(part: dict[str, Any] | None) -> str:
        return "" if part is None else f"{part['p50_ms']:.2f} / {part['p99_ms']:.2f}"

    for contestant in measured["contestants"].values():
        idle, half = contestant["idle"], contestant["half"]
        table.add(
            contestant["label"],
            pair(idle["to_begin"]),
            pair(half["to_begin"]),
            pair(idle["to_report"]),
            pair(half["to_report"]),
            f"{contestant['half_per_s']:.0f}/s",
        )
    return table


def _heartbeats(measured: dict[str, Any]) -> Table:
    table = Table(
        "Heartbeats",
        ["sender", "CPU ms/heartbeat", "tokens at 20 s a core"],
        note=f"{measured['rounds']} rounds of {measured['tokens']:,} tokens that are due at once.",
    )
    bridge, boto3 = measured["bridge_cpu_ms"], measured["boto3_cpu_ms"]
    ours, theirs = measured["tokens_per_core"], 20_000 / boto3["median"]
    table.add("bridge: beat process and Valkey", _range(bridge, 3), f"{ours:,}")
    table.add("boto3, 16 threads", _range(boto3, 3), f"{theirs:,.0f}")
    table.add("ratio", _range(measured["ratio"]), "")
    return table


def _polls(measured: dict[str, Any]) -> Table:
    table = Table(
        "Open polls of one poller",
        ["polls", "activities", "RSS MB", "KB a poll over the base", "idle CPU %", "threads"],
        note=f"CPU in percent of one core, over {measured['window_s']:.0f} s.",
    )
    table.add(
        "at rest",
        "1",
        f"{measured['base_rss_mb']:.1f}",
        "",
        f"{measured['base_cpu_percent']:.2f}",
        str(measured["base_threads"]),
    )
    for row in measured["pollers"]:
        table.add(
            f"{row['polls']:,}",
            str(row["activities"]),
            f"{row['rss_mb']:.1f}",
            f"{row['rss_kb_per_poll']:.1f}",
            f"{row['idle_cpu_percent']:.2f}",
            str(row["threads"]),
        )
    return table


def _switch(measured: dict[str, Any]) -> Table:
    short, long = f"{measured['short_ms']} ms", f"{measured['long_ms'] / 1000:g} s"
    back = measured["back_within"]
    table = Table(
        f"Tasks fetched ahead of {measured['slots']} slots, as jobs change their duration",
        ["when", "at most"],
    )
    table.add(f"jobs of {short}, until one of {long} is known as long", str(measured["at_switch"]))
    table.add(f"while jobs of {long} run", str(measured["while_long"]))
    table.add(f"jobs of {short} again", str(measured["again"]))
    table.add(
        "short jobs that ended before more was fetched ahead again",
        "never" if back is None else str(back),
    )
    return table


def _grant(measured: dict[str, Any]) -> Table:
    table = Table(
        "A grant of polls, in Redis",
        ["fleet, and what two pollers ask for", "ms p50", "ms p99", "granted", "refused"],
        note=f"{measured['workers']} workers with {measured['slots']:,} slots, "
        f"{measured['queues']} queues in {measured['groups']} groups, {measured['activities']} "
        f"activities; {measured['samples']:,} requests of each kind, by the server's own clock.",
    )
    for row in measured["rows"]:
        refused = (
            f"{count} {why}" for why, count in row["refused"].items() if why != "nothing refused"
        )
        table.add(
            row["fill"],
            f"{row['p50_ms']:.3f}",
            f"{row['p99_ms']:.3f}",
            str(row["granted"]),
            ", ".join(refused),
        )
    return table


def _growth(measured: dict[str, Any]) -> Table:
    table = Table(
        "Claims in flight",
        [
            "claims",
            "activities",
            "workers",
            "CPU ms/heartbeat",
            "to 1,000 claims",
            "recovery ms",
            "status ms",
            "bytes a claim",
        ],
        note=f"Passes of {measured['due']:,} heartbeats, in turns with passes over 1,000 claims; "
        "the ratio is the median of the rounds' ratios. Recovery finds no claim due. Bytes of "
        f"Redis beyond token ({measured['token_bytes']}) and input ({measured['input_bytes']}).",
    )
    for row in measured["rows"]:
        table.add(
            f"{row['claims']:,}",
            str(row["activities"]),
            str(row["workers"]),
            _range(row["heartbeat_cpu_ms"], 3),
            f"{row['heartbeat_to_small']['median']:.2f}×",
            _range(row["recovery_ms"]),
            _range(row["status_ms"]),
            str(row["bytes_per_claim"]),
        )
    return table
