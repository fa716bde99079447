"""Print the status as tables: activities, then the workers with what occupies their slots."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bridge.cli.status.overview import Overview, state_of
from bridge.cli.tables import age, console, table
from bridge.store import WorkerStatus

RATE_WINDOW_S = 60.0
MOST_WORKERS = 20
"""With more workers than this, those with the same queues share a row."""
RARE = ("count-\ndown", "held\nback", "lost", "unwanted", "note")
"""Columns that are shown only if a value in them is neither 0 nor empty."""
ALARMING = ("failed", "lost")
LEAST_WANTED = ("state", "completed", "outbox", "oldest")
"""Columns that a narrow terminal leaves out, the first of these first."""
NAME_WIDTH = 24
"""A longer name of an activity is folded if the terminal is narrow."""


def show_status(overview: Overview) -> None:
    """Print the status."""
    terminal = console()
    terminal.print(rendered(overview, terminal.width))


def watch_status(read: Callable[[], Overview]) -> None:
    """Show the status each second until Ctrl-C, with the jobs that ended per minute lately."""
    terminal = Console()
    seen: deque[tuple[float, dict[str, int]]] = deque()

    def screen() -> Group:
        overview, now = read(), time.monotonic()
        seen.append(
            (now, {row.activity: row.succeeded + row.failed for row in overview.activities})
        )
        while len(seen) > 1 and seen[0][0] < now - RATE_WINDOW_S:
            seen.popleft()
        (since, before), (_, after) = seen[0], seen[-1]
        minutes = max(now - since, 1.0) / 60
        rates = {name: (count - before.get(name, count)) / minutes for name, count in after.items()}
        return Group(
            rendered(overview, terminal.width, rates), f"{datetime.now():%H:%M:%S}, Ctrl-C ends"
        )

    with Live(screen(), console=terminal, screen=terminal.is_terminal, auto_refresh=False) as live:
        while True:
            time.sleep(1.0)
            live.update(screen(), refresh=True)


def rendered(overview: Overview, width: int, rates: Mapping[str, float] | None = None) -> Group:
    """Everything that ``status`` prints, for a terminal of this width in characters."""
    counts = (
        f"workers: {len(overview.live_workers)}, pollers: {len(overview.pollers)}, "
        f"beat processes: {len(overview.beats)}"
    )
    workers = [*overview.live_workers, *overview.lost_workers]
    of_workers: list[RenderableType] = [Text(""), _workers(workers), Text("")] if workers else []
    warnings = [Text.assemble(("! ", "yellow"), warning) for warning in overview.warnings]
    return Group(_activities(overview, rates, width), *of_workers, Text(counts), *warnings)


def _activities(overview: Overview, rates: Mapping[str, float] | None, width: int) -> Group:
    """The table with a row for each activity, and a note on the columns that are left out."""
    rows = overview.activities
    columns: dict[str, list[str]] = {
        "activity": [row.activity for row in rows],
        "state": [state_of(row) for row in rows],
        "fresh\npolls": [str(row.fresh) for row in rows],
        "idle\npolls": [str(row.idle) for row in rows],
        "waiting": [str(row.waiting) for row in rows],
        "count-\ndown": [str(row.countdown) for row in rows],
        "held\nback": [str(row.held_back) for row in rows],
        "running": [str(row.running) for row in rows],
        "slots": [str(overview.slots.get(row.activity, 0)) for row in rows],
        "oldest": [age(row.oldest_s) for row in rows],
        "outbox": [str(row.outbox) for row in rows],
        "completed": [str(row.succeeded) for row in rows],
        "failed": [str(row.failed) for row in rows],
        "lost": [str(row.lost) for row in rows],
    }
    if rates is not None:
        columns["ended/min"] = [f"{rates.get(row.activity, 0.0):.0f}" for row in rows]
    columns = _without_rare(columns)
    left_out = []
    for least in LEAST_WANTED:
        if _width(columns) <= width:
            break
        left_out += [least] if columns.pop(least, None) else []
    note = f"The terminal is too narrow for: {', '.join(left_out)}."
    return Group(_filled(columns), *([Text(note, "dim")] if left_out else []))


def _without_rare(columns: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {
        name: values
        for name, values in columns.items()
        if name not in RARE or any(value not in ("0", "") for value in values)
    }


def _filled(columns: Mapping[str, Sequence[str]]) -> Table:
    """The table that has these columns."""
    made = table(*columns)
    for row in zip(*columns.values(), strict=True):
        cells = zip(columns, row, strict=True)
        made.add_row(*(Text(value, _style(name, value)) for name, value in cells))
    return made


def _width(columns: Mapping[str, Sequence[str]]) -> int:
    """The width of the table in characters, with long names of activities folded."""
    widths = [
        max(map(len, (*name.split("\n"), *values)), default=0) for name, values in columns.items()
    ]
    return min(widths[0], NAME_WIDTH) + sum(width + 2 for width in widths[1:])


def _style(name: str, value: str) -> str:
    return "red" if name in ALARMING and value != "0" else ""


def _workers(workers: Sequence[WorkerStatus]) -> Table:
    """What occupies the slots: a row for each worker, or for all workers with the same queues."""
    labels, groups = zip(*_grouped(workers), strict=True)
    return _filled(
        _without_rare(
            {
                "worker": list(labels),
                "queues": [", ".join(first.queues) or "-" for first, *_ in groups],
                "slots": [str(sum(each.slots for each in group)) for group in groups],
                "claims": [str(sum(each.running for each in group)) for group in groups],
                "ordinary": [str(sum(each.ordinary for each in group)) for group in groups],
                "unwanted": [str(sum(each.unwanted for each in group)) for group in groups],
                "free": [str(sum(each.free for each in group)) for group in groups],
                "note": [_note(first) for first, *_ in groups],
            }
        )
    )


def _grouped(workers: Sequence[WorkerStatus]) -> Iterable[tuple[str, list[WorkerStatus]]]:
    """The rows of the workers' table: a label, and the workers that share the row."""
    if len(workers) <= MOST_WORKERS:
        names = Counter(_node(worker) for worker in workers)
        for worker in workers:
            unique = names[_node(worker)] == 1
            yield _node(worker) if unique else worker.worker, [worker]
        return
    groups: dict[tuple[tuple[str, ...], str], list[WorkerStatus]] = {}
    for worker in workers:
        groups.setdefault((worker.queues, _note(worker)), []).append(worker)
    for group in groups.values():
        yield f"{len(group)} workers", group


def _node(worker: WorkerStatus) -> str:
    """Celery's name of the worker, without the suffix that makes each of its starts unique."""
    return worker.worker.rpartition("#")[0] or worker.worker


def _note(worker: WorkerStatus) -> str:
    if worker.draining:
        return "drains"
    return "" if worker.live else "lost"
