"""Print results as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from bench.tables import Table, goals_table, measure_tables


def show(results: dict[str, Any], console: Console) -> None:
    """Print every table of a run."""
    show_tables([*measure_tables(results), goals_table(results)], console)


def show_tables(tables: Iterable[Table], console: Console) -> None:
    """Print these tables."""
    for table in tables:
        shown = RichTable(
            title=table.title,
            title_justify="left",
            box=None,
            pad_edge=False,
            header_style="bold",
            title_style="bold",
        )
        for number, column in enumerate(table.columns):
            shown.add_column(column, justify="right" if number else "left", no_wrap=bool(number))
        for row in table.rows:
            colour = {"ok": "[green]", "not met": "[red]"}.get(row[-1], "")
            shown.add_row(*row[:-1], f"{colour}{row[-1]}")
        # At its full width: rich would cut names, and a terminal wraps long lines.
        width = console.measure(shown, options=console.options.update(max_width=1_000)).maximum
        console.width = max(console.width, width)
        console.print(shown)
        if table.note:
            console.print(table.note, style="dim", highlight=False)
        console.print()
