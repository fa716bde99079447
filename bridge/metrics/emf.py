"""Metrics for CloudWatch as lines of its embedded metric format (EMF), on stdout.

CloudWatch Logs turns such lines into metrics by itself: no call, no permission, nothing in a job's
way. Off unless ``BRIDGE_METRICS=emf``. Namespace ``StepFunctions/Activities``:

- each job, from its worker: ``TaskProcessingTime`` (seconds) and ``TasksProcessed``, by
  ActivityName and WorkerName; ``TaskErrors``, by ActivityName and ErrorName;
- the fleet, from the beat process, once a minute: ``BacklogPerSlot``, ``LiveWorkers``,
  ``LostWorkers``, ``OccupiedSlots``, ``FreeSlots``, ``FreshPolls``, ``IdlePolls``,
  ``OutboxAgeSeconds`` without dimensions; ``QueueDepth`` by ActivityName, and where there are any
  ``ClaimsInCountdown``, ``ClaimsHeldBack``.

Source: Amazon CloudWatch User Guide, "Embedded metric format specification".
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.app_state import Installation
from bridge.metrics.scaling import backlog_per_slot
from bridge.registry import SYSTEM_QUEUE
from bridge.store import SlotUsage, Status

NAMESPACE = "StepFunctions/Activities"
INTERVAL_S = 60.0


def line(
    dimensions: Mapping[str, str], values: Mapping[str, float], units: Mapping[str, str]
) -> str:
    """One line: values of metrics that share their dimensions."""
    metrics = [{"Name": name, "Unit": units.get(name, "None")} for name in values]
    block = {"Namespace": NAMESPACE, "Dimensions": [sorted(dimensions)], "Metrics": metrics}
    made: dict[str, Any] = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [block]},
        **dimensions,
        **values,
    }
    return json.dumps(made, separators=(",", ":"))


def of_job(
    bridge: Installation, *, activity: str, worker: str, duration_s: float, error: str = ""
) -> None:
    """Say that a job has ended.

    Args:
        worker: Id of the worker; its name without what makes each start unique becomes the
            dimension, for CloudWatch keeps every combination as a metric of its own.
        error: Error name of its failure; empty: it succeeded.
    """
    if bridge.settings.metrics != "emf":
        return
    dimensions = {"ActivityName": activity, "WorkerName": worker.partition("#")[0]}
    values = {"TaskProcessingTime": round(duration_s, 6), "TasksProcessed": 1}
    _say(line(dimensions, values, {"TaskProcessingTime": "Seconds", "TasksProcessed": "Count"}))
    if error:
        by_error = {"ActivityName": activity, "ErrorName": error}
        _say(line(by_error, {"TaskErrors": 1}, {"TaskErrors": "Count"}))


def of_fleet(status: Status) -> list[str]:
    """The lines of the fleet as it stands."""
    return [line(*values) for values in fleet_values(status)]


def fleet_values(
    status: Status,
) -> Iterator[tuple[dict[str, str], dict[str, float], dict[str, str]]]:
    """How the fleet stands: dimensions, values of metrics, and their units."""
    users = [worker for worker in status.workers if set(worker.queues) != {SYSTEM_QUEUE}]
    occupancy = SlotUsage.of(users)
    values = {
        "LiveWorkers": float(sum(worker.live for worker in users)),
        "LostWorkers": float(sum(not w.live and w.running > 0 for w in users)),
        "OccupiedSlots": float(occupancy.occupied),
        "FreeSlots": float(occupancy.free),
        "FreshPolls": float(sum(row.fresh for row in status.activities)),
        "IdlePolls": float(sum(row.idle for row in status.activities)),
        "OutboxAgeSeconds": status.outbox_s,
    }
    backlog = backlog_per_slot(status)
    if backlog is not None:  # without a slot there is none; LiveWorkers says so
        values["BacklogPerSlot"] = round(backlog, 4)
    yield {}, values, {**_counts(values), "OutboxAgeSeconds": "Seconds", "BacklogPerSlot": "None"}
    for row in status.activities:
        depth = {"QueueDepth": float(row.queued)}
        # CloudWatch bills each metric that has a value: what is rare is said where there is any.
        rare = {"ClaimsInCountdown": float(row.countdown), "ClaimsHeldBack": float(row.held_back)}
        depth |= {name: value for name, value in rare.items() if value}
        yield {"ActivityName": row.activity}, depth, _counts(depth)


def _counts(values: Mapping[str, float]) -> dict[str, str]:
    return dict.fromkeys(values, "Count")


def publish(status: Status) -> None:
    """Say how the fleet stands."""
    for each in of_fleet(status):
        _say(each)


def _say(text: str) -> None:
    # Celery puts a logger in the place of sys.stdout; a line of EMF must stand alone.
    out = sys.__stdout__
    if out is not None:
        out.write(text + "\n")
        out.flush()
