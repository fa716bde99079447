"""The status as tables: activities, and the workers with what occupies them."""

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
"""Of more workers those with the same queues share a row."""
RARE = ("count-\ndown", "held\nback", "lost")
"""Columns that are shown only where there is any."""
ALARMING = ("failed", "lost")
LEAST_WANTED = ("state", "completed", "outbox", "oldest")
"""What a narrow terminal does without, in this order."""
NAME_WIDTH = 24


def show_status(overview: Overview) -> None:
    """Print the status."""
    terminal = console()
    terminal.print(_status(overview, terminal.width))


def watch_status(read: Callable[[], Overview]) -> None:
    """Show the status until Ctrl-C, as it stands each second, with what ended lately per minute."""
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
            _status(overview, terminal.width, rates), f"{datetime.now():%H:%M:%S}, Ctrl-C ends"
        )

    with Live(screen(), console=terminal, screen=terminal.is_terminal, auto_refresh=False) as live:
        while True:
            time.sleep(1.0)
            live.update(screen(), refresh=True)


def _status(overview: Overview, width: int, rates: Mapping[str, float] | None = None) -> Group:
    counts = (
        f"workers: {len(overview.live_workers)}, pollers: {len(overview.pollers)}, "
        f"beat processes: {len(overview.beats)}"
    )
    workers = [*overview.live_workers, *overview.lost_workers]
    of_workers: list[RenderableType] = [Text(""), _workers(workers), Text("")] if workers else []
    warnings = [Text.assemble(("! ", "yellow"), warning) for warning in overview.warnings]
    return Group(_activities(overview, rates, width), *of_workers, Text(counts), *warnings)


def _activities(overview: Overview, rates: Mapping[str, float] | None, width: int) -> Group:
    """A row an activity; what is rare has a column only where there is any."""
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
    for rare in RARE:
        if not any(value != "0" for value in columns[rare]):
            del columns[rare]
    left_out = []
    for least in LEAST_WANTED:
        if _width(columns) <= width:
            break
        left_out += [least] if columns.pop(least, None) else []
    made = table(*columns)
    for values in zip(*columns.values(), strict=True):
        made.add_row(
            *(Text(value, _style(name, value)) for name, value in zip(columns, values, strict=True))
        )
    said = f"The terminal is too narrow for: {', '.join(left_out)}."
    return Group(made, *([Text(said, "dim")] if left_out else []))


def _width(columns: Mapping[str, Sequence[str]]) -> int:
    """Characters that the table takes; a long name of an activity may be folded."""
    widths = [
        max(map(len, (*name.split("\n"), *values)), default=0) for name, values in columns.items()
    ]
    return min(widths[0], NAME_WIDTH) + sum(width + 2 for width in widths[1:])


def _style(name: str, value: str) -> str:
    return "red" if name in ALARMING and value != "0" else ""


def _workers(workers: Sequence[WorkerStatus]) -> Table:
    """What occupies the slots, a row a worker; of many workers, a row for those of equal queues."""
    unwanted = any(worker.unwanted for worker in workers)
    noted = any(map(_note, workers))
    made = table(
        "worker",
        "queues",
        "slots",
        "claims",
        "ordinary",
        *(["unwanted"] if unwanted else []),
        "free",
        *(["note"] if noted else []),
    )
    for label, group in _rows(workers):
        cells = [
            label,
            ", ".join(group[0].queues) or "-",
            str(sum(worker.slots for worker in group)),
            str(sum(worker.running for worker in group)),
            str(sum(worker.ordinary for worker in group)),
            *([str(sum(worker.unwanted for worker in group))] if unwanted else []),
            str(sum(worker.free for worker in group)),
            *([_note(group[0])] if noted else []),
        ]
        made.add_row(*map(Text, cells))
    return made


def _rows(workers: Sequence[WorkerStatus]) -> Iterable[tuple[str, list[WorkerStatus]]]:
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
    """Celery's name of it, without what makes each of its starts unique."""
    return worker.worker.rpartition("#")[0] or worker.worker


def _note(worker: WorkerStatus) -> str:
    if worker.draining:
        return "drains"
    return "" if worker.live else "lost"
