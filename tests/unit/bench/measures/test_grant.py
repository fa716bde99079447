"""The measure of grants has every state of the fleet."""

from __future__ import annotations

from bench.measures.grant import FILLS, measure
from bench.store_fleet import FleetShape

SMALL = FleetShape(workers=6, slots=2, queues=4, groups=3, activities=5)


def test_an_idle_fleet_grants_and_a_full_one_refuses():
    found = measure(SMALL, samples=3, say=lambda _: None)
    rows = {row["fill"]: row for row in found["rows"]}
    assert list(rows) == [fill.what for fill in FILLS]
    assert rows["idle fleet, two polls each wanted"]["granted"] > 0
    assert rows["full, one wanted on each"]["granted"] == 0
    assert rows["full, one wanted on each"]["refused"] == {"no room": 5}
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in found["rows"])
