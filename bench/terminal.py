"""The results on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from bench.tables import Table, all_tables


def show(results: dict[str, Any], console: Console) -> None:
    """Print every table of a run."""
    show_tables(all_tables(results), console)


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
        # As wide as it is: a terminal wraps lines, and a file must not lose the names.
        width = console.measure(shown, options=console.options.update(max_width=1_000)).maximum
        console.width = max(console.width, width)
        console.print(shown)
        if table.note:
            console.print(table.note, style="dim", highlight=False)
        console.print()
