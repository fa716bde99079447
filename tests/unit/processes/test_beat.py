"""How many passes the ticks in the queue start."""

from __future__ import annotations

import time

from bridge.processes import beat, passes
from bridge.processes.ticks import HEARTBEAT
from tests.unit.processes.apps import TICK_S


class TestPasses:
    def test_a_queue_of_old_ticks_starts_few_passes(self, app, monkeypatch):
        done = []
        monkeypatch.setattr(passes, "runtime_of", lambda _: None)
        monkeypatch.setitem(passes.PASSES, HEARTBEAT, lambda *_: done.append(1))
        monkeypatch.setattr(beat, "_began_s", {})
        until = time.monotonic() + 3 * TICK_S
        asked = 0
        while time.monotonic() < until:
            asked += 1
            beat._pass(HEARTBEAT, app)
        assert asked > 100
        assert 3 <= len(done) <= 3 * beat.PASSES_A_PERIOD + 1
