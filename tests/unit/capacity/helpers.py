"""A load to plan for, with round costs; and options of the command."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

from click.testing import CliRunner

from bridge.capacity.command import capacity
from bridge.capacity.costs import Costs
from bridge.capacity.load import Load
from bridge.capacity.plan import plan

COSTS = Costs(
    measured={"date": "2026-01-01", "machine": "none", "quick": False},
    poller_task_ms=2.0,
    worker_task_ms=2.0,
    valkey_task_ms=0.5,
    beat_heartbeat_ms=0.25,
    valkey_heartbeat_ms=0.025,
    claim_bytes=600,
    token_bytes=600,
    message_bytes=1_000,
    closed_claim_bytes=200,
    poller_rss_mb=100.0,
    poll_rss_kb=5.0,
    beat_rss_mb=100.0,
)
LOAD = Load(rate=10.0, duration_s=60.0)


def made(**changes):
    return plan(replace(LOAD, **changes), COSTS)


def limit(name, **changes):
    return next(each for each in made(**changes).limits if each.name == name)


SMALL = ("--rate", "10", "--duration", "30")
LARGE = ("--rate", "400", "--duration", "30")


def run(*args, app=None):
    return CliRunner().invoke(capacity, args, obj=SimpleNamespace(app=app))


def plan_as_json(*args, app=None):
    return json.loads(run(*args, "--json", app=app).stdout)
