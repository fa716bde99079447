"""Metrics for CloudWatch as lines of its embedded metric format (EMF), on stdout.

CloudWatch Logs makes metrics of such lines, so that no call and no permission is needed, and no job
waits. Only with ``BRIDGE_METRICS=emf``. Workers print the lines of their jobs, and the beat process
prints the fleet's once a minute.

Source: Amazon CloudWatch User Guide, "Embedded metric format specification".
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from bridge.app_state import Installation
from bridge.metrics.catalogue.cloudwatch import (
    ACTIVITY_NAME,
    ERROR_NAME,
    NAMESPACE,
    PROCESSED,
    PROCESSING_TIME,
    TASK_ERRORS,
    WORKER_NAME,
    CloudWatchMetric,
)
from bridge.metrics.fleet_values import fleet_values
from bridge.store import Status


def line(dimensions: Mapping[str, str], values: Mapping[CloudWatchMetric, float]) -> str:
    """One line: values of metrics that share their dimensions."""
    metrics = [{"Name": metric.name, "Unit": metric.unit} for metric in values]
    block = {"Namespace": NAMESPACE, "Dimensions": [sorted(dimensions)], "Metrics": metrics}
    made: dict[str, Any] = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [block]},
        **dimensions,
        **{metric.name: value for metric, value in values.items()},
    }
    return json.dumps(made, separators=(",", ":"))


def of_job(
    bridge: Installation, *, activity: str, worker: str, duration_s: float, error: str = ""
) -> None:
    """Print the metrics of a job that has ended.

    Args:
        worker: Id of the worker. The dimension is its name without the suffix of this start,
            because CloudWatch keeps each combination of dimensions as a metric of its own.
        error: Error name of its failure; empty for a success.
    """
    if bridge.settings.metrics != "emf":
        return
    dimensions = {ACTIVITY_NAME: activity, WORKER_NAME: worker.partition("#")[0]}
    _print(line(dimensions, {PROCESSING_TIME: round(duration_s, 6), PROCESSED: 1}))
    if error:
        _print(line({ACTIVITY_NAME: activity, ERROR_NAME: error}, {TASK_ERRORS: 1}))


def of_fleet(status: Status) -> list[str]:
    """The lines of the fleet's metrics."""
    return [line(each.dimensions, each.values) for each in fleet_values(status)]


def publish(status: Status) -> None:
    """Print the fleet's metrics."""
    for each in of_fleet(status):
        _print(each)


def _print(text: str) -> None:
    # Celery replaces sys.stdout by a logger, but a line of EMF must have no prefix.
    out = sys.__stdout__
    if out is not None:
        out.write(text + "\n")
        out.flush()
