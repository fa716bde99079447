"""Print what became of the demo's executions, as a table or as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bridge.local.demo.deployment import Deployment
from bridge.local.demo.executions import Execution


def show(deployment: Deployment, executions: list[Execution], *, as_json: bool, keep: bool) -> None:
    """Print the result to standard output; ``keep`` says that Flower goes on running."""
    chart = next(iter(sorted(deployment.reports.rglob("*.png"))), None)
    if as_json:
        _print_json(deployment, executions, chart)
        return
    console = Console()
    console.print(_table(executions))
    as_expected = sum(execution.as_expected for execution in executions)
    console.print(
        f"\n{as_expected} of {len(executions)} executions ended as expected.", highlight=False
    )
    flower = deployment.flower_url
    for label, value in (
        ("chart", chart or "none was drawn"),
        ("reports", deployment.reports),
        ("logs", deployment.folder),
        ("Flower", flower if keep else f"{flower} (stopped now; --keep leaves it running)"),
    ):
        console.print(f"{label:8}{value}", soft_wrap=True, highlight=False)


def _print_json(deployment: Deployment, executions: list[Execution], chart: Path | None) -> None:
    result = {
        "ok": all(execution.as_expected for execution in executions),
        "executions": [
            {**asdict(execution), "as_expected": execution.as_expected} for execution in executions
        ],
        "reports": str(deployment.reports),
        "chart": str(chart) if chart else None,
        "flower": deployment.flower_url,
        "metrics": deployment.metrics,
        "logs": str(deployment.folder),
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def _table(executions: list[Execution]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("execution")
    table.add_column("status")
    for column in ("duration", "jobs", "retries", "heartbeats"):
        table.add_column(column, justify="right")
    for execution in executions:
        if execution.as_expected:
            status = f"[green]{execution.status}[/]"
        else:
            status = f"[red]{execution.status}[/] (expected {execution.expected})"
        table.add_row(
            execution.name,
            status,
            f"{execution.duration_s:.1f} s",
            str(execution.jobs),
            str(execution.retries),
            str(execution.heartbeats),
        )
    return table
