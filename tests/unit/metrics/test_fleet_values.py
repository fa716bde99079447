"""The fleet's values for CloudWatch."""

from __future__ import annotations

from bridge.metrics.fleet_values import fleet_values
from tests.unit.metrics.fleet import STATUS


def test_each_metric_has_the_dimensions_of_the_catalogue():
    for dimensions, values in fleet_values(STATUS):
        assert {metric.dimensions for metric in values} == {tuple(dimensions)}
