"""``python -m bench.page``: write the results into ``docs/performance.md``.

It replaces only the text between the two markers.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import click

from bench import result_file
from bench.processes import ROOT
from bench.tables import Table, goals_table, measure_tables

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
PICTURES = {
    "cost": "CPU per no-op task",
    "latency": "Latency",
    "growth": "Claims in flight",
    "polls": "Open polls",
}


@click.command()
@click.option(
    "--results",
    "file",
    default=result_file.FILE,
    show_default="bench/results/results.json",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@click.option(
    "--page",
    default=PAGE,
    show_default="docs/performance.md",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
def main(*, file: Path, page: Path) -> None:
    """Write the figures into the page."""
    results = result_file.load(file)
    pictures = []
    for name in PICTURES:
        picture = file.with_name(f"{name}.png")
        if name in results["measures"] and picture.exists():
            folder = page.parent / "img"
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, folder / f"bench-{name}.png")
            pictures.append(name)
    page.write_text(put(page.read_text("utf-8"), figures(results, pictures)), "utf-8")


def put(text: str, section: str) -> str:
    """The page with the section between its markers, or at its end if it has no markers."""
    if BEGIN not in text or END not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    between = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    return between.sub(lambda _: f"{BEGIN}\n{section.strip()}\n{END}", text, count=1)


def figures(results: dict[str, Any], pictures: list[str]) -> str:
    """The section: the machine, the goals, a table for each measure, and the pictures."""
    tables = [goals_table(results), *measure_tables(results)]
    parts = ["## Figures", _machine(results), *map(_markdown, tables)]
    parts += [f"![{PICTURES[name]}](img/bench-{name}.png)" for name in pictures]
    return "\n\n".join(parts)


def _machine(results: dict[str, Any]) -> str:
    machine = results["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    others = ", ".join(f"{name} {version}" for name, version in machine["contestants"].items())
    quick = " This was a quick run: its figures are rough." if results["quick"] else ""
    theirs = f" Contestants: {others}." if others else ""
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']:g} GB, "
        f"{machine['system']}; Python {machine['python']}, Valkey {machine['valkey']}, {packages}."
        f"{theirs}{quick}"
    )


def _markdown(table: Table) -> str:
    lines = [table.columns, ["---"] + ["---:"] * (len(table.columns) - 1), *table.rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"### {table.title}\n\n{text}" + (f"\n\n{table.note}" if table.note else "")


if __name__ == "__main__":
    main()
