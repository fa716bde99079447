"""The measured costs in the package."""

from __future__ import annotations

import json
from importlib.resources import files

from bridge.capacity.costs import Costs


class TestCosts:
    def test_every_cost_is_present_and_above_zero(self):
        """Every figure is there and was measured; none is free."""
        costs = Costs.load()
        found = json.loads((files("bridge.capacity") / "costs.json").read_text("utf-8"))
        assert costs.measured.keys() >= {"date", "machine", "python", "valkey", "packages", "quick"}
        figures = {name: value for name, value in found.items() if name != "measured"}
        assert all(value > 0 for value in figures.values()), figures
