"""``python -m bench``: measure, show, and keep the results.

A full run writes ``bench/results/``; a quick one, or a part, writes ``var/bench/`` (or ``--json``).
"""

from __future__ import annotations

import importlib
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench import plots, report, terminal
from bench.contestants import others
from bench.contestants.fleet import Fleet
from bench.control import StubServer
from bench.measures.run import Run
from bench.processes import BenchError

MEASURES = ("cost", "latency", "heartbeats", "polls", "switch", "grant", "growth")
NEEDS_FLEET = ("cost", "latency")


@click.command()
@click.option("--quick", is_flag=True, help="Less of everything, in under a minute: ratios only.")
@click.option("--only", multiple=True, type=click.Choice(MEASURES), help="Only this; repeatable.")
@click.option("--million", is_flag=True, help="Let growth go on to a million claims (3 GB).")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the results go instead.",
)
def main(*, quick: bool, only: tuple[str, ...], million: bool, json_file: Path | None) -> None:
    """Measure what the bridge costs, beside what else would do its work."""
    chosen = [name for name in MEASURES if not only or name in only]
    # CI says SIGTERM: the contestants must end for it as for Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console, began = Console(stderr=True), time.monotonic()
    try:
        measures = _measure(chosen, quick=quick, million=million, console=console)
    except BenchError as exc:
        raise click.ClickException(str(exc)) from None
    except KeyboardInterrupt:
        console.print("stopped; nothing of it runs any more")
        sys.exit(130)
    versions = others.versions() if "cost" in chosen else {}
    found = report.collect(measures, others=versions, quick=quick)
    whole = not quick and not only
    path = json_file or (report.FILE if whole else report.QUICK_FILE)
    report.save(found, path)
    plots.draw(found, path.parent)
    terminal.show(found, Console())
    console.print(f"{time.monotonic() - began:.0f} s; results in {path}", highlight=False)


def _measure(chosen: list[str], *, quick: bool, million: bool, console: Console) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    measures: dict[str, Any] = {}
    with ExitStack() as stack:
        stub = StubServer(folder)
        stack.callback(stub.stop)
        fleet = Fleet(stub, folder)
        stack.callback(fleet.stop)
        status = stack.enter_context(console.status("starting"))
        if "cost" in chosen:
            status.update("installing stefuna and heaviside")
            others.interpreter()
        run = Run(stub, folder, fleet, quick, million, status.update)
        for name in chosen:
            began = time.monotonic()
            if name not in NEEDS_FLEET:
                fleet.stop()
            status.update(f"{name}: starting")
            measures[name] = importlib.import_module(f"bench.measures.{name}").run(run)
            console.print(f"{name}: {time.monotonic() - began:.0f} s", highlight=False)
    shutil.rmtree(folder, ignore_errors=True)  # kept when it did not get here: for its logs
    return measures


if __name__ == "__main__":
    main()
