"""A scrape answers, whatever the store does; and the port it answers on."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import time

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from bridge.errors import SettingsError, StoreUnavailable
from bridge.metrics import collector
from bridge.metrics.collector import FleetCollector
from bridge.metrics.exporter import Exporter
from bridge.store import Status

EMPTY = Status([], [])


class Reader:
    """Answers as it is told; counts how often it was asked."""

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

    def test_a_store_that_is_away_leaves_the_fleet_out(self, registry, reader, caplog):
        reader.answer = StoreUnavailable("the claim store does not answer")
        with caplog.at_level(logging.INFO):
            assert lines(registry) == ["bridge_store_up 0.0"]
        assert "without the fleet" in caplog.text

    def test_a_defect_leaves_it_out_too(self, registry, reader, caplog):
        reader.answer = ZeroDivisionError("a bug")
        assert lines(registry) == ["bridge_store_up 0.0"]
        assert "could not be read" in caplog.text

    def test_a_store_that_hangs_is_not_waited_for(self, registry, reader, monkeypatch):
        """And scrapes pile up no threads: the next one waits for the same reading."""
        monkeypatch.setattr(collector, "TIMEOUT_S", 0.2)
        reader.hangs.clear()
        began = time.monotonic()
        assert lines(registry) == ["bridge_store_up 0.0"]
        assert lines(registry) == ["bridge_store_up 0.0"]
        assert time.monotonic() - began < 2
        assert reader.reads == 1
        reader.hangs.set()
        assert "bridge_store_up 1.0" in lines(registry)


class TestExporter:
    @pytest.fixture
    def served(self):
        registry = CollectorRegistry()
        Counter("bridge_claims_total", "Claims.", registry=registry).inc()
        exporter = Exporter(registry, host="127.0.0.1", port=0)
        exporter.start()
        yield exporter
        exporter.close()

    def test_it_answers_with_the_registry(self, served):
        client = http.client.HTTPConnection("127.0.0.1", served._server.server_port, timeout=5)
        client.request("GET", "/metrics")
        answer = client.getresponse()
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert b"bridge_claims_total 1.0" in answer.read()
        client.close()

    def test_a_taken_port_is_said_in_one_sentence(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(SettingsError, match=f"127.0.0.1:{port} .*BRIDGE_METRICS_PORT") as e:
                Exporter(CollectorRegistry(), host="127.0.0.1", port=port)
        assert e.value.exit_code == 2

    def test_an_address_of_another_machine_is_too(self):
        with pytest.raises(SettingsError, match="BRIDGE_METRICS_HOST"):
            Exporter(CollectorRegistry(), host="192.0.2.1", port=0)
