"""The names of the metrics, and where they are documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.metrics import catalogue

ALL = (*catalogue.process.ALL, *catalogue.fleet.ALL)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric):
    """prometheus.io/docs/practices/naming."""
    assert re.fullmatch(r"bridge_[a-z][a-z_]*[a-z]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(r"_(ms|millis|minutes|mb|kb|count|sum|bucket|info)(_|$)", metric.name)
    if metric.kind == "histogram":
        assert metric.name.endswith("_seconds")
        assert list(metric.buckets) == sorted(set(metric.buckets))
    elif "age" in metric.name:
        assert metric.unit == "seconds"
    assert metric.help.endswith(".")
    assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)
    assert not {"le", "quantile", "job", "instance"} & set(metric.labels), "Prometheus' own"


def test_the_documentation_lists_the_catalogue():
    text = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text("utf-8")
    listed = set(re.findall(r"^\| `(bridge_\w+)` \|", text, re.MULTILINE))
    assert listed == {metric.name for metric in ALL}
