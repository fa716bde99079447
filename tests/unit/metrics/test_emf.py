"""CloudWatch's embedded metric format, as before; and what chooses between the ways out."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bridge import metrics
from bridge.errors import SettingsError
from bridge.local.child_processes import free_port
from bridge.metrics import emf
from bridge.metrics.catalogue.cloudwatch import CloudWatchMetric
from bridge.metrics.cloudwatch import CloudWatchMeters
from bridge.metrics.instruments import Instruments
from bridge.metrics.meters import OFF, Several
from bridge.metrics.prometheus import PrometheusMeters
from bridge.settings import Settings
from bridge.store import ActivityStatus, Status, WorkerStatus


def bridge(**settings):
    made = Settings(store_url="redis://127.0.0.1:1/0", **settings)
    return SimpleNamespace(settings=made, registry={})


@pytest.fixture
def said(monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr(emf, "_print", lines.append)
    return lines


def test_a_line():
    metric = CloudWatchMetric(name="X", unit="Seconds", published="each test")
    made = json.loads(emf.line({"A": "b"}, {metric: 1.5}))
    (block,) = made["_aws"]["CloudWatchMetrics"]
    assert block == {
        "Namespace": "StepFunctions/Activities",
        "Dimensions": [["A"]],
        "Metrics": [{"Name": "X", "Unit": "Seconds"}],
    }
    assert (made["A"], made["X"]) == ("b", 1.5)


def test_a_job_says_a_line_and_one_more_for_its_error(said):
    job = {"activity": "resize", "worker": "w1@host#1", "duration_s": 0.5}
    metrics.of_job(bridge(metrics="emf"), **job, error="Boom")
    done, error = map(json.loads, said)
    assert (done["TaskProcessingTime"], done["TasksProcessed"], done["WorkerName"]) == (
        0.5,
        1,
        "w1@host",
    )
    assert (error["TaskErrors"], error["ErrorName"]) == (1, "Boom")


@pytest.mark.parametrize("mode", ["off", "cloudwatch"])
def test_otherwise_a_worker_says_nothing(said, mode):
    """It holds no credentials, and the reporter counts for it."""
    metrics.of_job(bridge(metrics=mode), activity="a", worker="w", duration_s=1.0)
    assert said == []


def test_off_there_is_nothing():
    instruments = Instruments(bridge())
    assert instruments.meters is OFF
    instruments.bind()
    instruments.serve()


def test_the_settings_choose():
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


def test_what_is_rare_is_said_where_there_is_any():
    """CloudWatch bills each metric that has a value."""
    row = ActivityStatus(
        "resize",
        in_flight=5,
        queued=5,
        running=0,
        outbox=0,
        lost=0,
        polls=2,
        oldest_s=1.0,
        waiting_in={"celery": 1},
        countdown=3,
        held_back=1,
        fresh=1,
        idle=1,
    )
    worker = WorkerStatus("w", 4, ("celery",), 1, 5.0, ordinary=2, offered=2, used=1)
    fleet, resize, usual = map(
        json.loads, emf.of_fleet(Status([row, replace(row, countdown=0, held_back=0)], [worker]))
    )
    assert (fleet["OccupiedSlots"], fleet["FreeSlots"]) == (3, 1)
    assert (fleet["FreshPolls"], fleet["IdlePolls"]) == (2, 2)
    assert (resize["QueueDepth"], resize["ClaimsInCountdown"], resize["ClaimsHeldBack"]) == (
        5,
        3,
        1,
    )
    assert not {"ClaimsInCountdown", "ClaimsHeldBack"} & usual.keys()
    (block,) = resize["_aws"]["CloudWatchMetrics"]
    assert {each["Unit"] for each in block["Metrics"]} == {"Count"}


def test_the_fleet_goes_where_the_settings_say(said):
    status = Status([], [])
    Instruments(bridge()).publish_fleet(status)
    assert said == []
    Instruments(bridge(metrics="emf")).publish_fleet(status)
    assert len(said) == 1
