"""The fleet's metrics: they equal the status, and a scrape answers whatever the store does."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from bridge.errors import StoreUnavailable
from bridge.metrics import collector
from bridge.metrics.collector import FleetCollector, families
from bridge.store import Status
from tests.unit.metrics.fleet import STATUS, FakeActivity

EMPTY = Status([], [])


class Reader:
    """Gives the answer that a test sets, and counts how often it was asked."""

    def __init__(self):
        self.answer, self.reads, self.hangs = EMPTY, 0, threading.Event()
        self.hangs.set()

    def read(self, activities):
        self.reads += 1
        self.hangs.wait(20)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def reader():
    made = Reader()
    yield made
    made.hangs.set()


@pytest.fixture
def registry(reader):
    made = CollectorRegistry()
    made.register(FleetCollector(reader, {}))
    return made


def lines(registry) -> list[str]:
    text = generate_latest(registry).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


class TestCollector:
    def test_nothing_is_read_before_the_first_scrape(self, registry, reader):
        assert reader.reads == 0

    def test_scrapes_within_a_second_share_a_reading(self, registry, reader, monkeypatch):
        assert "bridge_store_up 1.0" in lines(registry)
        lines(registry)
        assert reader.reads == 1
        monkeypatch.setattr(collector, "KEPT_S", 0.0)
        lines(registry)
        assert reader.reads == 2

    def test_while_the_store_is_away_the_fleet_is_left_out(self, registry, reader, caplog):
        reader.answer = StoreUnavailable("the claim store does not answer")
        with caplog.at_level(logging.INFO):
            assert lines(registry) == ["bridge_store_up 0.0"]
        assert "without the fleet" in caplog.text

    def test_after_an_unexpected_error_the_fleet_is_left_out(self, registry, reader, caplog):
        reader.answer = ZeroDivisionError("a bug")
        assert lines(registry) == ["bridge_store_up 0.0"]
        assert "could not be read" in caplog.text

    def test_a_scrape_does_not_wait_for_a_store_that_hangs(self, registry, reader, monkeypatch):
        """Scrapes pile up no threads, because the next one waits for the same reading."""
        monkeypatch.setattr(collector, "TIMEOUT_S", 0.2)
        reader.hangs.clear()
        began = time.monotonic()
        assert lines(registry) == ["bridge_store_up 0.0"]
        assert lines(registry) == ["bridge_store_up 0.0"]
        assert time.monotonic() - began < 2
        assert reader.reads == 1
        reader.hangs.set()
        assert "bridge_store_up 1.0" in lines(registry)


def test_the_fleet_is_what_the_status_says():
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families(STATUS, {"resize": FakeActivity})
        for sample in family.samples
    }
    assert found["bridge_in_flight_claims", "resize"] == 10
    assert found["bridge_queued_claims", "resize"] == 5
    assert found["bridge_waiting_claims", "resize"] == 2
    assert found["bridge_countdown_claims", "resize"] == 2
    assert found["bridge_held_back_claims", "resize"] == 1
    assert found["bridge_fresh_polls", "resize"] == 2
    assert found["bridge_idle_polls", "resize"] == 1
    occupied = {by: found["bridge_occupied_slots", by] for by in ("claim", "ordinary", "unwanted")}
    assert occupied == {"claim": 3, "ordinary": 1, "unwanted": 1}
    assert found["bridge_free_slots",] == 1
    assert found["bridge_running_claims", "resize"] == 4
    assert found["bridge_slots", "resize"] == 6, "the other worker's lease has ended"
    assert found["bridge_slots", "gone"] == 0, "no task has this activity"
    assert found["bridge_oldest_claim_age_seconds", "resize"] == 42.5
    assert found["bridge_oldest_claim_age_seconds", "gone"] == 0
    assert found["bridge_tasks_ended_total", "resize", "failed"] == 2
    assert found["bridge_worker_slots",] == 6
    assert found["bridge_backlog_per_slot",] == 1.0, "5 occupied, 1 waits where a worker is"
    assert (found["bridge_live_workers",], found["bridge_lost_workers",]) == (2, 1)
    assert (found["bridge_live_pollers",], found["bridge_live_beats",]) == (2, 1)
    assert (found["bridge_outbox_age_seconds",], found["bridge_open_polls", "resize"]) == (3, 3)
    assert found["bridge_pass_age_seconds", "heartbeat"] == 0.5
