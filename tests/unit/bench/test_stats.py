"""Percentiles, ratios and latencies of measured values."""

from __future__ import annotations

from bench.stats import latencies, percentile, ratios


def test_percentiles_are_values_that_were_measured():
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile([7.0], 99) == 7


def test_ratios_are_taken_within_a_round():
    """A slow round slows both sides, so it does not change the ratio."""
    found = ratios([2.0, 20.0, 4.0], [1.0, 10.0, 2.0])
    assert (found["median"], found["min"], found["max"]) == (2.0, 2.0, 2.0)


def test_latencies_are_milliseconds():
    assert latencies([0.001, 0.002, 0.003])["p50_ms"] == 2.0
