"""A short run of the simulation: no invariant breaks, and the same seed gives the same trace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.planted.defects import DEFECTS
from tests.simulation.planted.hunt import ROOT, plant

SEEDS = 3
MINUTES = 6


def simulate(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def hashes(printed: str) -> list[str]:
    """The second column of the table, without its head."""
    return [line.split()[1] for line in printed.splitlines()[1:]]


@pytest.mark.timeout(300)
def test_no_invariant_breaks_and_a_seed_gives_the_same_trace_in_another_process():
    seeds = ("--seeds", str(SEEDS), "--minutes", str(MINUTES))
    all_seeds = simulate(*seeds)
    assert all_seeds.returncode == 0, all_seeds.stdout[-20_000:] + all_seeds.stderr
    last_seed = simulate("--seed", str(SEEDS), "--minutes", str(MINUTES))
    assert len(hashes(all_seeds.stdout)) == SEEDS
    assert hashes(last_seed.stdout) == hashes(all_seeds.stdout)[-1:]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_planted_defect_still_fits_the_code(defect, tmp_path: Path):
    plant(defect, tmp_path)
    assert (tmp_path / "bridge" / defect.file).read_text("utf-8").count(defect.old) == 0 or (
        defect.old in defect.new
    )
