"""What the doctor found."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from bridge.cli.doctor.checks import Finding, Level
from bridge.cli.tables import console

LEVELS = {
    Level.OK: "[green]ok[/]",
    Level.WARNING: "[yellow]warning[/]",
    Level.FAILURE: "[red]failure[/]",
}


def show_findings(findings: Iterable[Finding]) -> None:
    """Print what the doctor found; under each finding that needs it, the remedy."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "check", "found"):
        rows.add_column(column, overflow="fold")
    for finding in findings:
        detail = Text(finding.detail)
        if finding.remedy:
            detail.append(f"\n→ {finding.remedy}", "bold")
        rows.add_row(LEVELS[finding.level], finding.check, detail)
    console().print(rows)
