"""What the simulation calculates: beat processes, and the share of the quota."""

from __future__ import annotations

from bench.simulate import tables
from bench.stats import spread

FIGURES = {
    "claims": 100_000,
    "quota": 500,
    "burst": 20_000,
    "fill_s": 9.0,
    "redis_bytes": 141_000_000,
    "bytes_per_claim": 750,
    "heartbeats_per_s": spread([2_000.0]),
    "beat_cpu_ms": spread([0.3]),
    "valkey_cpu_ms": spread([0.03]),
    "quota_pass_ms": spread([250.0]),
    "recovery_ms": spread([1.0]),
    "status_ms": spread([2.0]),
}


def test_beat_processes_and_quota_follow_from_the_interval():
    """100,000 claims need 5,000 heartbeats a second at 20 s: three processes that send 2,000."""
    _, intervals = tables(FIGURES)
    rows = {row[0]: row[1:] for row in intervals.rows}
    assert rows["20 s"] == ["5,000", "3", "1,000 %"]
    assert rows["600 s"] == ["167", "1", "33 %"]
    assert "the quota allows 200 s" in intervals.note
