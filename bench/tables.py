"""The results as tables: rows of text, for the terminal and for Markdown alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Table:
    """Columns, rows of text, and a sentence about them."""

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""


def all_tables(results: dict[str, Any]) -> Iterator[Table]:
    """A table a measure, and the goals."""
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
    yield goals(results)


def _range(found: dict[str, Any], digits: int = 2) -> str:
    low, high = found["min"], found["max"]
    return f"{found['median']:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _cost(found: dict[str, Any]) -> Table:
    table = Table(
        "A no-op task, end to end",
        ["contestant", "CPU ms/task", "tasks/s", "RSS MB", "stub ms/task", "bridge is"],
        note=f"{found['rounds']} rounds of {found['tasks']} tasks, all contestants taking turns; "
        "median (min–max). The last column is the bridge's CPU to the contestant's, the median of "
        f"the rounds' ratios: with {', '.join(found['ratios'])}.",
    )
    for name, each in found["contestants"].items():
        against = [
            f"{way['cpu'][name]['median']:.2f}×"
            for way in found["ratios"].values()
            if name in way["cpu"]
        ]
        table.rows.append(
            [
                each["label"],
                _range(each["cpu_ms"]),
                _range(each["tasks_per_s"], 0),
                f"{each['rss_mb']:.0f}",
                f"{each['stub_cpu_ms']['median']:.3f}",
                ", ".join(against),
            ]
        )
    return table


def _latency(found: dict[str, Any]) -> Table:
    table = Table(
        "Latency, ms: p50 / p99",
        [
            "contestant",
            "→ begun, idle",
            "→ begun, half load",
            "→ reported, idle",
            "→ reported, half load",
            "half load",
        ],
        note=f"Idle: {found['idle_per_s']:.0f} tasks/s. Half load: half of what the contestant did "
        "at saturation just before. Celery alone: from its publication.",
    )

    def pair(part: dict[str, Any] | None) -> str:
        return "" if part is None else f"{part['p50_ms']:.2f} / {part['p99_ms']:.2f}"

    for each in found["contestants"].values():
        idle, half = each["idle"], each["half"]
        table.rows.append(
            [
                each["label"],
                pair(idle["to_begin"]),
                pair(half["to_begin"]),
                pair(idle["to_report"]),
                pair(half["to_report"]),
                f"{each['half_per_s']:.0f}/s",
            ]
        )
    return table


def _heartbeats(found: dict[str, Any]) -> Table:
    return Table(
        "Heartbeats",
        ["who", "CPU ms/heartbeat", "tokens at 20 s a core"],
        [
            [
                "bridge: beat process and Valkey",
                _range(found["bridge_cpu_ms"], 3),
                f"{found['tokens_per_core']:,}",
            ],
            [
                "boto3, 16 threads",
                _range(found["boto3_cpu_ms"], 3),
                f"{20_000 / found['boto3_cpu_ms']['median']:,.0f}",
            ],
            ["ratio", _range(found["ratio"]), ""],
        ],
        note=f"{found['rounds']} rounds of {found['tokens']:,} tokens that are due at once.",
    )


def _polls(found: dict[str, Any]) -> Table:
    table = Table(
        "Open polls of one poller",
        ["polls", "activities", "RSS MB", "KB a poll over the base", "idle CPU %", "threads"],
        [
            [
                "at rest",
                "1",
                f"{found['base_rss_mb']:.1f}",
                "",
                f"{found['base_cpu_percent']:.2f}",
                str(found["base_threads"]),
            ]
        ],
        note=f"CPU in percent of one core, over {found['window_s']:.0f} s.",
    )
    for row in found["pollers"]:
        table.rows.append(
            [
                f"{row['polls']:,}",
                str(row["activities"]),
                f"{row['rss_mb']:.1f}",
                f"{row['rss_kb_per_poll']:.1f}",
                f"{row['idle_cpu_percent']:.2f}",
                str(row["threads"]),
            ]
        )
    return table


def _switch(found: dict[str, Any]) -> Table:
    short, long = f"{found['short_ms']} ms", f"{found['long_ms'] / 1000:g} s"
    back = found["back_within"]
    return Table(
        f"Tasks fetched ahead of {found['slots']} slots, as jobs change their duration",
        ["when", "at most"],
        [
            [
                f"jobs of {short}, until the first of {long} is known as long",
                str(found["at_switch"]),
            ],
            [f"while jobs of {long} run", str(found["while_long"])],
            [f"jobs of {short} again", str(found["again"])],
            [
                "jobs that had ended until more was fetched ahead again",
                "never" if back is None else str(back),
            ],
        ],
    )


def _grant(found: dict[str, Any]) -> Table:
    table = Table(
        "A grant of polls, in Redis",
        ["the fleet, and what each of two pollers asks", "ms p50", "ms p99", "granted", "refused"],
        note=f"{found['workers']} workers with {found['slots']:,} slots, {found['queues']} queues "
        f"in {found['groups']} groups, {found['activities']} activities; {found['samples']:,} asks "
        "of each kind, by the server's own clock.",
    )
    for row in found["rows"]:
        refused = ", ".join(
            f"{count} {why}" for why, count in row["refused"].items() if why != "nothing refused"
        )
        table.rows.append(
            [
                row["fill"],
                f"{row['p50_ms']:.3f}",
                f"{row['p99_ms']:.3f}",
                str(row["granted"]),
                refused,
            ]
        )
    return table


def _growth(found: dict[str, Any]) -> Table:
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
        note=f"Passes of {found['due']:,} heartbeats, in turns with passes over 1,000 claims: the "
        "median of the rounds' ratios. Recovery with none due. Bytes of Redis beyond token "
        f"({found['token_bytes']}) and input ({found['input_bytes']}).",
    )
    for row in found["rows"]:
        table.rows.append(
            [
                f"{row['claims']:,}",
                str(row["activities"]),
                str(row["workers"]),
                _range(row["heartbeat_cpu_ms"], 3),
                f"{row['heartbeat_to_small']['median']:.2f}×",
                _range(row["recovery_ms"]),
                _range(row["status_ms"]),
                str(row["bytes_per_claim"]),
            ]
        )
    return table


def goals(results: dict[str, Any]) -> Table:
    """What was wanted, what came of it."""
    table = Table("Goals", ["figure", "measured", "goal", ""])
    for goal in results["goals"]:
        unit = {"×": "×", "%": " %", "": ""}.get(goal["unit"], f" {goal['unit']}")
        table.rows.append(
            [
                goal["what"],
                f"{goal['value']:,.4g}{unit}"
                if goal["value"] < 1000
                else f"{goal['value']:,.0f}{unit}",
                f"{goal['sign']} {goal['limit']:,g}{unit}",
                "ok" if goal["met"] else "not met",
            ]
        )
    return table
