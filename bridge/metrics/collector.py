"""The fleet as the store knows it, read when it is scraped: what ``celery -A bridge status`` shows.

A scrape must not wait for a store that is away: the reading goes on in a thread of its own, and the
scrape answers without it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from bridge.errors import SchemaMismatch, StoreUnavailable
from bridge.metrics import catalogue
from bridge.metrics.catalogue import Metric
from bridge.metrics.scaling import backlog_per_slot
from bridge.registry import SYSTEM_QUEUE, Registry
from bridge.store import SlotUsage, Status, StatusReader

logger = logging.getLogger(__name__)

KEPT_S = 1.0
"""Scrapes within this time share one reading."""
TIMEOUT_S = 2.0

Family = CounterMetricFamily | GaugeMetricFamily


class FleetCollector(Collector):
    """Reads the status once a scrape, at most once a second."""

    def __init__(self, reader: StatusReader, registry: Registry) -> None:
        self._reader = reader
        self._registry = registry
        self._lock = threading.Lock()
        self._reading: _Reading | None = None

    def describe(self) -> list[Family]:
        """Its families without samples: nothing is read before the first scrape."""
        return [_family(metric) for metric in catalogue.OF_FLEET]

    def collect(self) -> Iterator[Family]:
        """The fleet now; only ``bridge_store_up`` while the store is away."""
        status = self._status()
        up = _family(catalogue.STORE_UP)
        up.add_metric([], float(status is not None))
        yield up
        if status is not None:
            yield from families(status, self._registry)

    def _status(self) -> Status | None:
        with self._lock:
            if self._reading is None or self._reading.is_old():
                self._reading = _Reading(self._reader, list(self._registry))
            reading = self._reading
        return reading.wait(TIMEOUT_S)


class _Reading:
    """One reading of the status, perhaps still under way."""

    def __init__(self, reader: StatusReader, activities: list[str]) -> None:
        self._status: Status | None = None
        self._ended_at = float("inf")
        self._ended = threading.Event()
        # Daemonic: a store that hangs must not hold up the end of the process.
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
    """The metrics of a fleet that stands as ``status`` says."""
    live = [worker for worker in status.workers if worker.live]
    users = [worker for worker in status.workers if set(worker.queues) != {SYSTEM_QUEUE}]
    rows = status.activities
    occupancy = SlotUsage.of(users)

    def slots(activity: str) -> int:
        if activity not in registry:
            return 0
        return sum(worker.slots for worker in live if registry[activity].queue in worker.queues)

    for metric, values in (
        (catalogue.IN_FLIGHT, {row.activity: row.in_flight for row in rows}),
        (catalogue.QUEUED, {row.activity: row.queued for row in rows}),
        (catalogue.WAITING, {row.activity: row.waiting for row in rows}),
        (catalogue.COUNTDOWN, {row.activity: row.countdown for row in rows}),
        (catalogue.HELD_BACK, {row.activity: row.held_back for row in rows}),
        (catalogue.RUNNING, {row.activity: row.running for row in rows}),
        (catalogue.OUTBOX, {row.activity: row.outbox for row in rows}),
        (catalogue.LOST, {row.activity: row.lost for row in rows}),
        (catalogue.OPEN_POLLS, {row.activity: row.polls for row in rows}),
        (catalogue.FRESH_POLLS, {row.activity: row.fresh for row in rows}),
        (catalogue.IDLE_POLLS, {row.activity: row.idle for row in rows}),
        (catalogue.SLOTS, {row.activity: slots(row.activity) for row in rows}),
        (catalogue.OLDEST, {row.activity: row.oldest_s or 0.0 for row in rows}),
        (
            catalogue.OCCUPIED_SLOTS,
            {
                "claim": occupancy.claims,
                "ordinary": occupancy.ordinary,
                "unwanted": occupancy.unwanted,
            },
        ),
        (catalogue.PASS_AGE, status.passes),
    ):
        family = _family(metric)
        for label, value in values.items():
            family.add_metric([label], value)
        yield family
    ended = _family(catalogue.ENDED)
    for row in rows:
        ended.add_metric([row.activity, "succeeded"], row.succeeded)
        ended.add_metric([row.activity, "failed"], row.failed)
    yield ended
    for metric, value in (
        (catalogue.WORKER_SLOTS, occupancy.slots),
        (catalogue.FREE_SLOTS, occupancy.free),
        (catalogue.LIVE_WORKERS, sum(w.live for w in users)),
        (catalogue.LOST_WORKERS, sum(not w.live and w.running > 0 for w in users)),
        (catalogue.LIVE_POLLERS, len(status.pollers)),
        (catalogue.LIVE_BEATS, sum(SYSTEM_QUEUE in w.queues for w in live)),
        (catalogue.OUTBOX_AGE, status.outbox_s),
    ):
        family = _family(metric)
        family.add_metric([], value)
        yield family
    family = _family(catalogue.BACKLOG)
    if (backlog := backlog_per_slot(status)) is not None:
        family.add_metric([], backlog)
    yield family


def _family(metric: Metric) -> Family:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(metric.name, metric.help, labels=metric.labels)
