"""The state of the fleet in numbers: counts of workers, and the values of CloudWatch's metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bridge.metrics.catalogue import cloudwatch
from bridge.metrics.catalogue.cloudwatch import ACTIVITY_NAME, CloudWatchMetric
from bridge.metrics.scaling import backlog_per_slot
from bridge.registry import serves_users
from bridge.store import SlotUsage, Status


class Workers(NamedTuple):
    """Counts of the workers that serve users' queues.

    Attributes:
        live: Workers whose lease runs.
        lost: Workers whose lease ended while they ran claims.
        usage: What occupies the slots of the live workers.
    """

    live: int
    lost: int
    usage: SlotUsage

    @classmethod
    def of(cls, status: Status) -> Workers:
        """Count the workers of a status."""
        workers = [worker for worker in status.workers if serves_users(worker.queues)]
        return cls(
            live=sum(worker.live for worker in workers),
            lost=sum(not worker.live and worker.running > 0 for worker in workers),
            usage=SlotUsage.of(workers),
        )


class Values(NamedTuple):
    """Values of metrics that share their dimensions."""

    dimensions: dict[str, str]
    values: dict[CloudWatchMetric, float]


def fleet_values(status: Status) -> Iterator[Values]:
    """The values of the fleet's metrics: first those without dimensions, then each activity's."""
    workers = Workers.of(status)
    values = {
        cloudwatch.LIVE_WORKERS: float(workers.live),
        cloudwatch.LOST_WORKERS: float(workers.lost),
        cloudwatch.OCCUPIED_SLOTS: float(workers.usage.occupied),
        cloudwatch.FREE_SLOTS: float(workers.usage.free),
        cloudwatch.FRESH_POLLS: float(sum(row.fresh for row in status.activities)),
        cloudwatch.IDLE_POLLS: float(sum(row.idle for row in status.activities)),
        cloudwatch.OUTBOX_AGE: status.outbox_s,
    }
    backlog = backlog_per_slot(status)
    if backlog is not None:  # without slots it is absent, and LiveWorkers shows why
        values[cloudwatch.BACKLOG_PER_SLOT] = round(backlog, 4)
    yield Values({}, values)
    for row in status.activities:
        depth = {cloudwatch.QUEUE_DEPTH: float(row.queued)}
        # CloudWatch bills each metric that has a value, so these two are left out while they are 0.
        if row.countdown:
            depth[cloudwatch.IN_COUNTDOWN] = float(row.countdown)
        if row.held_back:
            depth[cloudwatch.HELD_BACK] = float(row.held_back)
        yield Values({ACTIVITY_NAME: row.activity}, depth)
