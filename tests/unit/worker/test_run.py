"""Names of deliveries; the acceptance tests show what a run does."""

from __future__ import annotations

import os

from bridge.worker.run import new_name


def test_no_two_deliveries_have_one_name(monkeypatch):
    """Not even in two children of a pool, which start with the same origin and number."""
    names = {new_name() for _ in range(10_000)}
    assert len(names) == 10_000
    assert {len(name) for name in names} == {12}
    pid = os.getpid()
    monkeypatch.setattr("os.getpid", lambda: pid + 1)
    monkeypatch.setattr("bridge.worker.run._numbers", iter(range(10_000)))
    assert not names & {new_name() for _ in range(10_000)}
