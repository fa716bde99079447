"""The fleet's metrics for Prometheus, read from the claim store when they are scraped.

They are what ``celery -A bridge status`` shows. A scrape must not wait long for a claim store that
is away. So a thread reads the status, and after ``TIMEOUT_S`` the scrape answers without it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from bridge.errors import SchemaMismatch, StoreUnavailable
from bridge.metrics.catalogue import fleet
from bridge.metrics.catalogue.metric import Metric
from bridge.metrics.fleet_values import Workers
from bridge.metrics.scaling import backlog_per_slot
from bridge.registry import SYSTEM_QUEUE, Registry
from bridge.store import Status, StatusReader

logger = logging.getLogger(__name__)

KEPT_S = 1.0
"""Scrapes within this time share one reading."""
TIMEOUT_S = 2.0

Family = CounterMetricFamily | GaugeMetricFamily
Samples = Mapping[tuple[str, ...], float]
"""Values of the labels → value."""


class FleetCollector(Collector):
    """Reads the status for a scrape, at most once a second."""

    def __init__(self, reader: StatusReader, registry: Registry) -> None:
        self._reader = reader
        self._registry = registry
        self._lock = threading.Lock()
        self._reading: _StatusReading | None = None

    def describe(self) -> list[Family]:
        """The families without samples: nothing is read before the first scrape."""
        return [_family(metric) for metric in fleet.ALL]

    def collect(self) -> Iterator[Family]:
        """The fleet's metrics now; only ``bridge_store_up`` while the store is away."""
        status = self._status()
        yield _family(fleet.STORE_UP, {(): float(status is not None)})
        if status is not None:
            yield from families(status, self._registry)

    def _status(self) -> Status | None:
        with self._lock:
            if self._reading is None or self._reading.is_old():
                self._reading = _StatusReading(self._reader, list(self._registry))
            reading = self._reading
        return reading.wait(TIMEOUT_S)


class _StatusReading:
    """One reading of the status, which may still be under way."""

    def __init__(self, reader: StatusReader, activities: list[str]) -> None:
        self._status: Status | None = None
        self._ended_at = float("inf")
        self._ended = threading.Event()
        # A daemon thread, because a store that hangs must not delay the end of the process.
        threading.Thread(
            target=self._read, args=(reader, activities), name="bridge-status", daemon=True
        ).start()

    def is_old(self) -> bool:
        return time.monotonic() - self._ended_at > KEPT_S

    def wait(self, timeout_s: float) -> Status | None:
        self._ended.wait(timeout_s)
        return self._status

    def _read(self, reader: StatusReader, activities: list[str]) -> None:
        try:
            self._status = reader.read(activities)
        except (SchemaMismatch, StoreUnavailable) as exc:
            logger.info("metrics without the fleet: %s", exc)
        except Exception:
            logger.exception("metrics without the fleet: its status could not be read")
        finally:
            self._ended_at = time.monotonic()
            self._ended.set()


def families(status: Status, registry: Registry) -> Iterator[Family]:
    """The fleet's metrics with their values, without ``bridge_store_up``."""
    for metric, samples in (_of_activities(status, registry) | _of_fleet(status)).items():
        yield _family(metric, samples)


def _of_activities(status: Status, registry: Registry) -> dict[Metric, Samples]:
    rows = status.activities
    live = [worker for worker in status.workers if worker.live]

    def slots(activity: str) -> int:
        if activity not in registry:
            return 0
        return sum(worker.slots for worker in live if registry[activity].queue in worker.queues)

    succeeded: Samples = {(row.activity, "succeeded"): row.succeeded for row in rows}
    failed: Samples = {(row.activity, "failed"): row.failed for row in rows}
    return {
        fleet.IN_FLIGHT: {(row.activity,): row.in_flight for row in rows},
        fleet.QUEUED: {(row.activity,): row.queued for row in rows},
        fleet.WAITING: {(row.activity,): row.waiting for row in rows},
        fleet.COUNTDOWN: {(row.activity,): row.countdown for row in rows},
        fleet.HELD_BACK: {(row.activity,): row.held_back for row in rows},
        fleet.RUNNING: {(row.activity,): row.running for row in rows},
        fleet.OUTBOX: {(row.activity,): row.outbox for row in rows},
        fleet.LOST: {(row.activity,): row.lost for row in rows},
        fleet.OPEN_POLLS: {(row.activity,): row.polls for row in rows},
        fleet.FRESH_POLLS: {(row.activity,): row.fresh for row in rows},
        fleet.IDLE_POLLS: {(row.activity,): row.idle for row in rows},
        fleet.SLOTS: {(row.activity,): slots(row.activity) for row in rows},
        fleet.OLDEST: {(row.activity,): row.oldest_s or 0.0 for row in rows},
        fleet.ENDED: {**succeeded, **failed},
    }


def _of_fleet(status: Status) -> dict[Metric, Samples]:
    workers = Workers.of(status)
    backlog = backlog_per_slot(status)
    beats = [worker for worker in status.workers if worker.live and SYSTEM_QUEUE in worker.queues]
    return {
        fleet.OCCUPIED_SLOTS: {
            ("claim",): workers.usage.claims,
            ("ordinary",): workers.usage.ordinary,
            ("unwanted",): workers.usage.unwanted,
        },
        fleet.WORKER_SLOTS: {(): workers.usage.slots},
        fleet.FREE_SLOTS: {(): workers.usage.free},
        fleet.BACKLOG: {} if backlog is None else {(): backlog},
        fleet.LIVE_WORKERS: {(): workers.live},
        fleet.LOST_WORKERS: {(): workers.lost},
        fleet.LIVE_POLLERS: {(): len(status.pollers)},
        fleet.LIVE_BEATS: {(): len(beats)},
        fleet.OUTBOX_AGE: {(): status.outbox_s},
        fleet.PASS_AGE: {(kind,): age_s for kind, age_s in status.passes.items()},
    }


def _family(metric: Metric, samples: Samples | None = None) -> Family:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in (samples or {}).items():
        family.add_metric(labels, value)
    return family
