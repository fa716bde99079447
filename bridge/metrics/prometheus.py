"""Count the events of this process in Prometheus' counters and histograms."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from bridge.metrics.catalogue import process
from bridge.metrics.catalogue.metric import Metric
from bridge.metrics.meters import ErrorNames, HeartbeatResult, Meters, PollResult
from bridge.store import EndedClaim


class PrometheusMeters(Meters):
    """Counts events in ``registry``; a call takes some microseconds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(metric: Metric) -> Counter:
            return Counter(metric.name, metric.help, metric.labels, registry=registry)

        def histogram(metric: Metric) -> Histogram:
            return Histogram(
                metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=registry
            )

        self._errors = ErrorNames()
        self._polls = counter(process.POLLS)
        self._claims = counter(process.CLAIMS)
        self._heartbeats = counter(process.HEARTBEATS)
        self._reports = counter(process.REPORTS)
        self._postponed = counter(process.POSTPONED)
        self._recoveries = counter(process.RECOVERIES)
        self._throttles = counter(process.THROTTLES)
        self._queue_wait = histogram(process.QUEUE_WAIT)
        self._run_time = histogram(process.RUN_TIME)
        self._report_delay = histogram(process.REPORT_DELAY)
        ProcessCollector(registry=registry)

    def polled(self, activity: str, result: PollResult) -> None:
        """Count the poll."""
        self._polls.labels(activity, result).inc()

    def claimed(self, activity: str) -> None:
        """Count the claim."""
        self._claims.labels(activity).inc()

    def throttled(self, call: str) -> None:
        """Count the refused call."""
        self._throttles.labels(call).inc()

    def heartbeat(self, activity: str, result: HeartbeatResult) -> None:
        """Count the heartbeat."""
        self._heartbeats.labels(activity, result).inc()

    def recovered(self, activity: str, action: str) -> None:
        """Count the recovery."""
        self._recoveries.labels(activity, action).inc()

    def reported(self, ended: EndedClaim, error: str, *, taken: bool) -> None:
        """Count the report, and observe the times that are known."""
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
        """Count the postponed report."""
        self._postponed.labels(reason).inc()
