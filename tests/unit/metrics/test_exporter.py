"""The port on which Prometheus scrapes a process."""

from __future__ import annotations

import http.client
import socket

import pytest
from prometheus_client import CollectorRegistry, Counter

from bridge.errors import SettingsError
from bridge.metrics.exporter import Exporter


@pytest.fixture
def served():
    registry = CollectorRegistry()
    Counter("bridge_claims_total", "Claims.", registry=registry).inc()
    exporter = Exporter(registry, host="127.0.0.1", port=0)
    exporter.start()
    yield exporter
    exporter.close()


def test_it_answers_with_the_registry(served):
    client = http.client.HTTPConnection("127.0.0.1", served._server.server_port, timeout=5)
    client.request("GET", "/metrics")
    answer = client.getresponse()
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert b"bridge_claims_total 1.0" in answer.read()
    client.close()


def test_a_taken_port_is_reported_in_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port} .*BRIDGE_METRICS_PORT") as e:
            Exporter(CollectorRegistry(), host="127.0.0.1", port=port)
    assert e.value.exit_code == 2


def test_an_address_of_another_machine_is_reported_in_one_sentence():
    with pytest.raises(SettingsError, match="BRIDGE_METRICS_HOST"):
        Exporter(CollectorRegistry(), host="192.0.2.1", port=0)
