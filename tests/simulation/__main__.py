"""``make simulate``: run seeds of the simulation, or look for planted defects with it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from pathlib import Path

from tests.simulation.planted.hunt import hunt
from tests.simulation.run import Result, run_seed, valkey
from tests.simulation.store_server import StoreServer

SHOWN_CHARS = 240
HEAD = "  seed hash             simulated    wall     CPU  speed executions"


def main() -> int:
    """Run what the arguments say; the exit status: 1 if an invariant was broken."""
    options = _options()
    _begin_anew()
    logging.getLogger().addHandler(logging.NullHandler())
    if options.planted:
        return 1 if hunt(options.only, seeds=options.seeds, minutes=options.minutes or 30) else 0
    seeds = [options.seed] if options.seed is not None else range(1, options.seeds + 1)
    active_s = (options.minutes or 60 * options.hours) * 60
    broken = 0
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder, valkey(Path(folder)):
        server = StoreServer(str(Path(folder) / "valkey.sock"))
        for seed in seeds:
            result = run_seed(seed, server, active_s=active_s, faults=options.faults)
            print(_row(result), flush=True)
            if result.violation:
                broken += 1
                _explain(result, options)
                if options.first:
                    break
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this seed alone")
    parser.add_argument("--seeds", type=int, default=5, help="run so many seeds, from 1")
    parser.add_argument("--hours", type=float, default=0.5, help="simulated time with faults")
    parser.add_argument("--minutes", type=float, default=0.0, help="the same in minutes")
    parser.add_argument("--events", type=int, default=60, help="events shown of a broken seed")
    parser.add_argument("--first", action="store_true", help="end with the first broken seed")
    parser.add_argument("--planted", action="store_true", help="look for the planted defects")
    parser.add_argument("--only", default="", help="only planted defects with this in their name")
    parser.add_argument("--faults", type=float, default=1.0, help="0: nothing goes wrong")
    return parser.parse_args()


def _begin_anew() -> None:
    """Run with what must be in the environment before Python and the bridge are loaded.

    Python's hashes of text must not differ from process to process, and Celery's producers must
    send what they are given: the simulation stands behind them.
    """
    needed = {"PYTHONHASHSEED": "0", "BRIDGE_OPTIMIZATIONS": "off"}
    if any(os.environ.get(name) != value for name, value in needed.items()):
        os.environ.update(needed)
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])


def _row(result: Result) -> str:
    speed = result.simulated_s / result.wall_s
    return (
        f"{result.seed:>6} {result.hash:16} {result.simulated_s:>8.0f}s {result.wall_s:>6.1f}s "
        f"{result.cpu_s:>6.1f}s {speed:>5.0f}x {result.executions:>10}"
        + (f"  BROKEN {result.invariant}" if result.violation else "")
    )


def _explain(result: Result, options: argparse.Namespace) -> None:
    time = f"--minutes {options.minutes:g}" if options.minutes else f"--hours {options.hours:g}"
    for event in result.events[-options.events :]:
        print(event[:SHOWN_CHARS])
    print(f"Broken: {result.invariant}\n  {result.violation}")
    print(f"Faults of this seed: {', '.join(result.faults) or 'none'}")
    print(f'Replay: make simulate ARGS="--seed {result.seed} {time} --faults {options.faults:g}"')


if __name__ == "__main__":
    sys.exit(main())
