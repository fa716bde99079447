"""What people look at: tables of the status, the settings and the activities."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bridge.doctor import Finding, Level
from bridge.installation import Installation
from bridge.masking import mask_urls, masked
from bridge.registry import SYSTEM_QUEUE, Registry
from bridge.stepfunctions import ActivityDescription, describe_connection
from bridge.store import ActivityStatus, Status, WorkerStatus

PIPE_WIDTH = 240
LEFT = ("state", "value", "from", "ARN", "created", "encryption")
"""Columns of words; the first of a table always is one."""
RATE_WINDOW_S = 60.0


def state_of(row: ActivityStatus) -> str:
    """Where an activity stands, in a word, by what the store knows: Step Functions is not asked.

    "processing" while claims are in flight, else "polling" while polls are open; else "created"
    before its first outcome, "idle" after it.
    """
    if row.in_flight:
        return "processing"
    if row.polls:
        return "polling"
    return "idle" if row.succeeded or row.failed else "created"


@dataclass(frozen=True, slots=True)
class Overview:
    """The status of a deployment, joined with what is registered.

    Attributes:
        slots: Slots of the live workers, by activity.
    """

    activities: list[ActivityStatus]
    slots: dict[str, int]
    workers: list[WorkerStatus]
    pollers: list[str]

    @classmethod
    def of(cls, status: Status, registry: Registry) -> Overview:
        """Join what the store says with the activities of this app."""
        live = [worker for worker in status.workers if worker.lease_s >= 0]
        slots = {
            name: sum(worker.slots for worker in live if activity.queue in worker.queues)
            for name, activity in registry.items()
        }
        return cls(status.activities, slots, status.workers, status.pollers)

    @property
    def live_workers(self) -> list[WorkerStatus]:
        """Workers with a lease that serve users' queues."""
        return [w for w in self.workers if w.lease_s >= 0 and set(w.queues) != {SYSTEM_QUEUE}]

    @property
    def beats(self) -> list[WorkerStatus]:
        """Workers with a lease that serve the bridge's own queue."""
        return [w for w in self.workers if w.lease_s >= 0 and SYSTEM_QUEUE in w.queues]

    @property
    def warnings(self) -> list[str]:
        """What needs somebody's attention, a sentence each."""
        found = []
        for row in self.activities:
            if row.lost:
                found.append(f"{row.activity}: {row.lost} claims on workers that died")
            if row.in_flight and row.activity not in self.slots:
                found.append(f"{row.activity}: {row.in_flight} claims, and no task has it any more")
            elif row.queued and not self.slots[row.activity]:
                found.append(f"{row.activity}: {row.queued} jobs wait and no worker serves them")
        in_flight = sum(row.in_flight for row in self.activities)
        if in_flight and not self.beats:
            instead = "pollers send the heartbeats" if self.pollers else "no heartbeats are sent"
            found.append(f"claims are in flight and no beat process runs: {instead}")
        return found

    @property
    def needs_attention(self) -> bool:
        """Whether the exit status should say so."""
        return bool(self.warnings)

    def as_json(self) -> dict[str, Any]:
        """For programs; documented in docs/cli.md and kept stable."""
        rows = [
            {
                "activity": row.activity,
                "state": state_of(row),
                "in_flight": row.in_flight,
                "queued": row.queued,
                "running": row.running,
                "slots": self.slots.get(row.activity, 0),
                "polls": row.polls,
                "oldest_s": row.oldest_s,
                "outbox": row.outbox,
                "lost": row.lost,
                "succeeded": row.succeeded,
                "failed": row.failed,
            }
            for row in self.activities
        ]
        counted = (
            "in_flight",
            "queued",
            "running",
            "polls",
            "outbox",
            "lost",
            "succeeded",
            "failed",
        )
        totals = {key: sum(int(str(row[key])) for row in rows) for key in counted}
        totals["slots"] = sum(worker.slots for worker in self.live_workers)
        workers = [
            {
                "worker": worker.worker,
                "slots": worker.slots,
                "running": worker.running,
                "queues": list(worker.queues),
                "lease_s": worker.lease_s,
            }
            for worker in self.workers
        ]
        return {
            "activities": rows,
            "totals": totals,
            "workers": workers,
            "pollers": self.pollers,
            "warnings": self.warnings,
        }


def show_status(overview: Overview) -> None:
    """Print the status."""
    _console().print(_status(overview))


def watch_status(read: Callable[[], Overview]) -> None:
    """Show the status until Ctrl-C, as it stands each second, with what ended lately per minute."""
    console = Console()
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
        return Group(_status(overview, rates), f"{datetime.now():%H:%M:%S}, Ctrl-C ends")

    with Live(screen(), console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            time.sleep(1.0)
            live.update(screen(), refresh=True)


def _status(overview: Overview, rates: Mapping[str, float] | None = None) -> Group:
    per_minute = ["ended/min"] if rates is not None else []
    table = _table("activity", "state", "polls", "queued", "running", "slots", "oldest", "outbox",
                   "completed", "failed", "lost", *per_minute)  # fmt: skip
    for row in overview.activities:
        table.add_row(
            row.activity, state_of(row), str(row.polls), str(row.queued), str(row.running),
            str(overview.slots.get(row.activity, 0)), _age(row.oldest_s), str(row.outbox),
            str(row.succeeded), f"[red]{row.failed}[/]" if row.failed else "0",
            f"[red]{row.lost}[/]" if row.lost else "0",
            *([f"{rates.get(row.activity, 0.0):.0f}"] if rates is not None else []))  # fmt: skip
    counts = (
        f"workers: {len(overview.live_workers)}, pollers: {len(overview.pollers)}, "
        f"beat processes: {len(overview.beats)}"
    )
    warnings = [Text.assemble(("! ", "yellow"), warning) for warning in overview.warnings]
    return Group(table, Text(counts), *warnings)


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def effective_settings(bridge: Installation) -> dict[str, dict[str, Any]]:
    """The settings in force, by where they come from; secrets masked."""
    conf = bridge.app.conf
    ours = masked(bridge.settings.model_dump(mode="json"))
    backend = conf.result_backend
    return {
        "bridge": {f"BRIDGE_{name.upper()}": value for name, value in ours.items()},
        "celery": {
            **_broker(conf.broker_read_url, conf.broker_write_url),
            "broker_use_ssl": masked(conf.broker_use_ssl),
            "result_backend": masked(backend) if isinstance(backend, str) else None,
            "task_default_queue": conf.task_default_queue,
            "broker_transport_options": masked(conf.broker_transport_options),
        },
        "aws": describe_connection(),
    }


def _broker(read: object, write: object) -> dict[str, str]:
    if read == write:
        return {"broker_url": mask_urls(read)}
    return {"broker_read_url": mask_urls(read), "broker_write_url": mask_urls(write)}


def show_settings(effective: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the settings as a table."""
    table = _table("setting", "value", "from")
    for section, values in effective.items():
        for name, value in values.items():
            table.add_row(name, _plain(value), _source(section, name))
    _console().print(table)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}={each}" for key, each in value.items()) or "-"
    return "-" if value in (None, "") else str(value)


def _source(section: str, name: str) -> str:
    if section != "bridge":
        return section
    return "environment" if name in os.environ else "default"


def show_activities(arns: Mapping[str, str]) -> None:
    """Print activities and their ARNs."""
    table = _table("activity", "ARN")
    for name, arn in arns.items():
        table.add_row(name, arn)
    _console().print(table)


def activity_as_json(activity: ActivityDescription) -> dict[str, Any]:
    """What ``activities describe --json`` says of one."""
    key = activity.encryption
    return {
        "name": activity.name,
        "arn": activity.arn,
        "created": activity.created.isoformat(),
        "encryption": None if key is None else key.model_dump(),
    }


def show_descriptions(activities: Iterable[ActivityDescription]) -> None:
    """Print what Step Functions says of activities."""
    table = _table("activity", "ARN", "created", "encryption")
    for each in activities:
        key = each.encryption
        created = f"{each.created:%Y-%m-%d %H:%M}"
        table.add_row(each.name, each.arn, created, key.kms_key_id or key.type if key else "-")
    _console().print(table)


LEVELS = {Level.OK: "[green]ok[/]", Level.WARNING: "[yellow]warning[/]",
          Level.FAILURE: "[red]failure[/]"}  # fmt: skip


def show_findings(findings: Iterable[Finding]) -> None:
    """Print what the doctor found; under each finding that needs it, the remedy."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "check", "found"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        detail = Text(finding.detail)
        if finding.remedy:
            detail.append(f"\n→ {finding.remedy}", "bold")
        table.add_row(LEVELS[finding.level], finding.check, detail)
    _console().print(table)


def _console() -> Console:
    """As wide as the terminal; wide enough for an ARN where the output goes elsewhere."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, PIPE_WIDTH))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        right = index > 0 and column not in LEFT
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    return table
