"""The loops' events as Prometheus' counters and histograms, in a registry of this process's own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from bridge.metrics import catalogue
from bridge.metrics.catalogue import Metric
from bridge.metrics.meters import ErrorNames, Meters
from bridge.store import EndedClaim


class PrometheusMeters(Meters):
    """Counts into ``registry``; a call costs some microseconds and takes no lock for longer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(metric: Metric) -> Counter:
            return Counter(metric.name, metric.help, metric.labels, registry=registry)

        def histogram(metric: Metric) -> Histogram:
            return Histogram(
                metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=registry
            )

        self._errors = ErrorNames()
        self._polls = counter(catalogue.POLLS)
        self._claims = counter(catalogue.CLAIMS)
        self._heartbeats = counter(catalogue.HEARTBEATS)
        self._reports = counter(catalogue.REPORTS)
        self._postponed = counter(catalogue.POSTPONED)
        self._recoveries = counter(catalogue.RECOVERIES)
        self._throttles = counter(catalogue.THROTTLES)
        self._queue_wait = histogram(catalogue.QUEUE_WAIT)
        self._run_time = histogram(catalogue.RUN_TIME)
        self._report_delay = histogram(catalogue.REPORT_DELAY)
        ProcessCollector(registry=registry)

    def polled(self, activity: str, result: str) -> None:
        """Count it."""
        self._polls.labels(activity, result).inc()

    def claimed(self, activity: str) -> None:
        """Count it."""
        self._claims.labels(activity).inc()

    def throttled(self, call: str) -> None:
        """Count it."""
        self._throttles.labels(call).inc()

    def beat(self, activity: str, result: str) -> None:
        """Count it."""
        self._heartbeats.labels(activity, result).inc()

    def recovered(self, activity: str, action: str) -> None:
        """Count it."""
        self._recoveries.labels(activity, action).inc()

    def reported(self, ended: EndedClaim, error: str, *, taken: bool) -> None:
        """Count it, and observe what is known of its times."""
        outcome, result = "failed" if error else "succeeded", "taken" if taken else "closed"
        name = self._errors.bounded(error) if error else ""
        self._reports.labels(ended.activity, outcome, name, result).inc()
        if ended.waited_s is not None:
            self._queue_wait.labels(ended.activity).observe(ended.waited_s)
        if ended.ran_s is not None:
            self._run_time.labels(ended.activity).observe(ended.ran_s)
        if ended.unreported_s is not None:
            self._report_delay.labels(ended.activity).observe(ended.unreported_s)

    def postponed(self, reason: str) -> None:
        """Count it."""
        self._postponed.labels(reason).inc()
