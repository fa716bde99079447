"""``make chaos``: kill processes and cut connections at random, and count what was lost.

A fleet as in production (two pollers, three workers, beat) runs a steady stream of mixed jobs. One
fault after another, drawn from a seed, happens to it; a supervisor starts again what was killed, as
systemd would. At the end every execution must have ended as its definition says.

An execution counts as touched by a fault when it was running while the fault was on. Recovery is
how long after the end of the fault the last of them ended, less the time its job takes. Recovery
has a bound; a fault that begins before the bound is over extends it by its own.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.faults.chaos.run import SETTLE_S, Options, run
from tests.faults.chaos.summary import show


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos ARGS=…", description=__doc__)
    parser.add_argument("--minutes", type=float, default=4.0, help="the whole run, about")
    parser.add_argument("--seed", type=int, default=None, help="which faults, and when")
    parser.add_argument("--executions", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.minutes * 60 < 2 * SETTLE_S:
        parser.error(f"--minutes: at least {2 * SETTLE_S / 60:g}; the last of them is for the end")
    if args.executions < 1:
        parser.error("--executions: at least 1")
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(10**6)
    options = Options(minutes=args.minutes, seed=seed, executions=args.executions)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:<32}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} ended"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        bar = progress.add_task("starting", total=options.executions)
        found = run(
            options,
            folder=folder,
            progress=lambda done, text: progress.update(bar, completed=done, description=text),
        )
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        show(found, Console() if sys.stdout.isatty() else Console(width=110))
    if not found["ok"]:
        console.print(f"logs: {folder}; the same faults again: --seed {seed}")
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
