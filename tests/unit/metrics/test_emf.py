"""Metrics as lines of CloudWatch's embedded metric format."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bridge import metrics
from bridge.metrics import emf
from bridge.metrics.catalogue.cloudwatch import CloudWatchMetric
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


def test_a_line_names_its_metrics_units_and_dimensions():
    metric = CloudWatchMetric(name="X", unit="Seconds", published="each test")
    made = json.loads(emf.line({"A": "b"}, {metric: 1.5}))
    (block,) = made["_aws"]["CloudWatchMetrics"]
    assert block == {
        "Namespace": "StepFunctions/Activities",
        "Dimensions": [["A"]],
        "Metrics": [{"Name": "X", "Unit": "Seconds"}],
    }
    assert (made["A"], made["X"]) == ("b", 1.5)


def test_a_job_prints_a_line_and_one_more_for_its_error(said):
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
def test_in_other_modes_a_worker_prints_nothing(said, mode):
    """A worker holds no credentials, so the process that reports counts its jobs."""
    metrics.of_job(bridge(metrics=mode), activity="a", worker="w", duration_s=1.0)
    assert said == []


def test_metrics_of_rare_claims_are_left_out_while_they_are_0():
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
