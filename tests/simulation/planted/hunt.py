"""Plant each defect in a copy of the bridge, and let the simulation look for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.simulation.planted.defects import DEFECTS, Defect

ROOT = Path(__file__).parents[3]


def plant(defect: Defect, folder: Path) -> None:
    """Make a copy of the bridge with the defect in ``folder``; the tests there are these.

    Raises:
        ValueError: The text to replace does not occur exactly once.
    """
    shutil.copytree(ROOT / "bridge", folder / "bridge")
    (folder / "tests").symlink_to(ROOT / "tests")
    path = folder / "bridge" / defect.file
    text = path.read_text("utf-8")
    if text.count(defect.old) != 1:
        raise ValueError(f"{defect.name}: its text occurs {text.count(defect.old)} times")
    path.write_text(text.replace(defect.old, defect.new), "utf-8")


def hunt(only: str, *, seeds: int, minutes: float) -> int:
    """Print a table of the defects; how many were not found.

    Args:
        only: Part of the names of those to look for.
        seeds: How many seeds each may take.
        minutes: Simulated time of a seed.
    """
    missed = 0
    print(f"{'defect':28} {'planted in':>10} {'seed':>5} {'seconds':>8}  found by")
    for defect in DEFECTS:
        if only not in defect.name:
            continue
        began_s = time.perf_counter()
        seed, invariant = _find(defect, seeds=seeds, minutes=minutes)
        missed += not invariant
        print(
            f"{defect.name:28} {defect.invariant:>10} {seed or '-':>5} "
            f"{time.perf_counter() - began_s:>7.1f}s  {invariant or 'NOT FOUND'}",
            flush=True,
        )
    return missed


def _find(defect: Defect, *, seeds: int, minutes: float) -> tuple[str, str]:
    """The seed that finds the defect, and the invariant that is broken; both empty: none does."""
    with tempfile.TemporaryDirectory() as folder:
        plant(defect, Path(folder))
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "tests.simulation", "--first"),
                *("--seeds", str(seeds), "--minutes", str(minutes)),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    for line in ended.stdout.splitlines():
        row, _, invariant = line.partition("  BROKEN ")
        if invariant:
            return row.split()[0], invariant
    if ended.returncode:
        return "?", f"the simulation ended with {ended.stderr.strip().splitlines()[-1]}"
    return "", ""
