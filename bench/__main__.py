"""``python -m bench``: measure, print the results, and save them.

A full run writes ``bench/results/``. A quick run, or one of some measures only, writes
``var/bench/``. ``--json`` names another file.
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

from bench import plots, result_file, terminal
from bench.contestants import others
from bench.contestants.lineup import Lineup
from bench.measures.run import Run
from bench.processes import BenchError
from bench.stub_server import StubServer

MEASURES = ("cost", "latency", "heartbeats", "polls", "switch", "grant", "growth")
MEASURES_OF_CONTESTANTS = ("cost", "latency")


@click.command()
@click.option("--quick", is_flag=True, help="Measure less, in under a minute: only ratios hold.")
@click.option(
    "--only", multiple=True, type=click.Choice(MEASURES), help="Only this measure; repeatable."
)
@click.option("--million", is_flag=True, help="Let growth go on to a million claims (3 GB).")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the results to this file instead.",
)
def main(*, quick: bool, only: tuple[str, ...], million: bool, json_file: Path | None) -> None:
    """Measure what the bridge costs, and what its alternatives cost."""
    chosen = [name for name in MEASURES if not only or name in only]
    # CI stops a run with SIGTERM: the contestants must end for it as they do for Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console, began = Console(stderr=True), time.monotonic()
    try:
        measures = _measure(chosen, quick=quick, million=million, console=console)
    except BenchError as exc:
        raise click.ClickException(str(exc)) from None
    except KeyboardInterrupt:
        console.print("stopped; all of its processes have ended")
        sys.exit(130)
    versions = others.versions() if "cost" in chosen else {}
    results = result_file.collect(measures, others=versions, quick=quick)
    is_full = not quick and not only
    path = json_file or (result_file.FILE if is_full else result_file.QUICK_FILE)
    result_file.save(results, path)
    plots.draw(results, path.parent)
    terminal.show(results, Console())
    console.print(f"{time.monotonic() - began:.0f} s; results in {path}", highlight=False)


def _measure(chosen: list[str], *, quick: bool, million: bool, console: Console) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    measures: dict[str, Any] = {}
    with ExitStack() as stack:
        stub = StubServer(folder)
        stack.callback(stub.stop)
        lineup = Lineup(stub, folder)
        stack.callback(lineup.stop)
        status = stack.enter_context(console.status("starting"))
        if "cost" in chosen:
            status.update("installing stefuna and heaviside")
            others.interpreter()
        run = Run(
            stub=stub,
            folder=folder,
            lineup=lineup,
            quick=quick,
            million=million,
            say=status.update,
        )
        for name in chosen:
            began = time.monotonic()
            if name not in MEASURES_OF_CONTESTANTS:
                lineup.stop()
            status.update(f"{name}: starting")
            measures[name] = importlib.import_module(f"bench.measures.{name}").run(run)
            console.print(f"{name}: {time.monotonic() - began:.0f} s", highlight=False)
    shutil.rmtree(folder, ignore_errors=True)  # after an error it is kept, for its logs
    return measures


if __name__ == "__main__":
    main()
