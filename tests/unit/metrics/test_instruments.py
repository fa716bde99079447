"""What a process measures and publishes, as its settings ask for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bridge.errors import SettingsError
from bridge.local.child_processes import free_port
from bridge.metrics import emf
from bridge.metrics.cloudwatch import CloudWatchMeters
from bridge.metrics.instruments import Instruments
from bridge.metrics.meters import OFF, Several
from bridge.metrics.prometheus import PrometheusMeters
from bridge.settings import Settings
from bridge.store import Status


def bridge(**settings):
    made = Settings(store_url="redis://127.0.0.1:1/0", **settings)
    return SimpleNamespace(settings=made, registry={})


@pytest.fixture
def said(monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr(emf, "_print", lines.append)
    return lines


def test_by_default_nothing_is_measured():
    instruments = Instruments(bridge())
    assert instruments.meters is OFF
    instruments.bind()
    instruments.serve()


def test_the_settings_choose_the_meters():
    assert isinstance(Instruments(bridge(metrics="cloudwatch")).meters, CloudWatchMeters)
    assert isinstance(Instruments(bridge(metrics_port=9_100)).meters, PrometheusMeters)
    both = Instruments(bridge(metrics_port=9_100, metrics="cloudwatch"))
    assert isinstance(both.meters, Several)


def test_a_port_that_is_taken_stops_the_process():
    port = free_port()
    first = Instruments(bridge(metrics_port=port, metrics_host="127.0.0.1"))
    first.bind()
    first.serve()
    with pytest.raises(SettingsError, match="a BRIDGE_METRICS_PORT of its own"):
        Instruments(bridge(metrics_port=port, metrics_host="127.0.0.1")).bind()
    first._exporter.close()


def test_the_fleet_is_published_where_the_settings_say(said):
    status = Status([], [])
    Instruments(bridge()).publish_fleet(status)
    assert said == []
    Instruments(bridge(metrics="emf")).publish_fleet(status)
    assert len(said) == 1
