"""Save and load the results: what was measured, on which machine, and which goals it meets."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from bench import machine
from bench.goals import judge
from bench.processes import ROOT

FOLDER = ROOT / "bench" / "results"
FILE = FOLDER / "results.json"
QUICK_FILE = ROOT / "var" / "bench" / "results.json"


def collect(measures: dict[str, Any], *, others: dict[str, str], quick: bool) -> dict[str, Any]:
    """Everything that is saved of a run.

    Args:
        others: Versions of the packages that only contestants use.
    """
    return {
        "date": f"{date.today()}",
        "machine": {**machine.describe(), "contestants": others},
        "quick": quick,
        "measures": measures,
        "goals": [goal.as_json() for goal in judge(measures)],
    }


def save(results: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", "utf-8")


def load(path: Path = FILE) -> dict[str, Any]:
    results: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return results
