"""The look of every table that the commands print."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 240
"""Width of a table that is not printed to a terminal: enough for an ARN."""
LEFT = ("state", "value", "from", "ARN", "created", "encryption", "queues", "note")
"""Columns of text, aligned to the left as the first column of each table is."""


def console() -> Console:
    """A console as wide as the terminal; at least ``PIPE_WIDTH`` if there is no terminal."""
    made = Console()
    return made if made.is_terminal else Console(width=max(made.width, PIPE_WIDTH))


def table(*columns: str) -> Table:
    """An empty table whose columns of numbers are aligned to the right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        right = index > 0 and column not in LEFT
        made.add_column(
            Text(column),
            justify="right" if right else "left",
            vertical="bottom",
            overflow="fold",
            no_wrap=right,
        )
    return made


def age(seconds: float | None) -> str:
    """A duration for people: ``42s``, ``11m08s``, ``3h02m``; ``-`` for None."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
