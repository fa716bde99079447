"""The results of the doctor's checks as a table."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from bridge.cli.doctor.result import CheckResult, Level
from bridge.cli.tables import console

LEVELS = {
    Level.OK: "[green]ok[/]",
    Level.WARNING: "[yellow]warning[/]",
    Level.FAILURE: "[red]failure[/]",
}


def show_results(results: Iterable[CheckResult]) -> None:
    """Print a row for each check, with the remedy below the detail where there is one."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "check", "found"):
        rows.add_column(column, overflow="fold")
    for result in results:
        detail = Text(result.detail)
        if result.remedy:
            detail.append(f"\n→ {result.remedy}", "bold")
        rows.add_row(LEVELS[result.level], result.check, detail)
    console().print(rows)
