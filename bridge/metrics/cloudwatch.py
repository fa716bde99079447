"""Publish metrics to CloudWatch with PutMetricData, from pollers and beat processes.

Workers hold no credentials, so a job is counted when its outcome is reported, with the times that
the claim store kept. A separate thread sends the values each minute, or as soon as a call is full.
While CloudWatch is away, a bounded number of values waits; the oldest beyond it are dropped and
counted. Jobs and reports never wait for CloudWatch.

Source: PutMetricData, Amazon CloudWatch API Reference: 1,000 metrics and 1 MB a call, 150 values a
metric, dimension values of 1 to 1,024 ASCII characters.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from botocore.config import Config
from botocore.exceptions import ClientError

from bridge.metrics.catalogue.cloudwatch import (
    ACTIVITY_NAME,
    ERROR_NAME,
    INTERVAL_S,
    NAMESPACE,
    PROCESSED,
    PROCESSING_TIME,
    TASK_ERRORS,
    WORKER_NAME,
    CloudWatchMetric,
)
from bridge.metrics.fleet_values import fleet_values
from bridge.metrics.meters import ErrorNames, Meters
from bridge.stepfunctions import Connection
from bridge.store import EndedClaim, Status
from bridge.support.log_limiter import LogLimiter

logger = logging.getLogger(__name__)

MAX_SAMPLES = 50_000
"""How many values may wait: some 10 MB."""
ENOUGH_SAMPLES = 5_000
"""As soon as this many values wait, they are sent, before the minute is over."""
MAX_METRICS = 1_000
MAX_VALUES = 150
MAX_CALL_BYTES = 900_000
"""An upper limit for the estimated size, so that no call reaches AWS's 1 MB."""
LAST_CALLS_S = 3.0
"""How long the end of the process waits for the last values to be sent."""
_REFUSED = ("InvalidFormat", "InvalidParameter", "MissingRequiredParameter", "Validation")


class Sample(NamedTuple):
    """One value of one metric. Samples of a minute that differ only in value are sent as one."""

    name: str
    unit: str
    dimensions: tuple[tuple[str, str], ...]
    minute: int
    value: float


class CloudWatchMeters(Meters):
    """Publishes jobs as they are reported, and the fleet once a minute."""

    def __init__(self, publisher: Publisher | None = None) -> None:
        self._publisher = publisher or Publisher()
        self._errors = ErrorNames()

    def reported(self, ended: EndedClaim, error: str, *, taken: bool) -> None:
        """Count the job, and its failure by error name."""
        worker = ended.worker.partition("#")[0] or "none"
        of_worker = {ACTIVITY_NAME: ended.activity, WORKER_NAME: worker}
        if ended.ran_s is not None:
            self._add(PROCESSING_TIME, ended.ran_s, of_worker)
        self._add(PROCESSED, 1.0, of_worker)
        if error:
            name = self._errors.bounded(error)
            self._add(TASK_ERRORS, 1.0, {ACTIVITY_NAME: ended.activity, ERROR_NAME: name})

    def fleet(self, status: Status) -> None:
        """Publish the fleet's metrics."""
        for dimensions, values in fleet_values(status):
            for metric, value in values.items():
                self._add(metric, value, dimensions)

    def _add(self, metric: CloudWatchMetric, value: float, dimensions: Mapping[str, str]) -> None:
        self._publisher.add(
            Sample(
                name=metric.name,
                unit=metric.unit,
                dimensions=tuple((key, _allowed(text)) for key, text in dimensions.items()),
                minute=int(time.time() // 60) * 60,
                value=round(value, 3),
            )
        )


class Publisher:
    """Sends samples from a separate thread, which starts with the first sample.

    Args:
        connect: Makes the client; called again after it failed.
        max_samples: How many samples may wait.
    """

    def __init__(
        self,
        connect: Callable[[], Any] | None = None,
        *,
        max_samples: int = MAX_SAMPLES,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._connect = connect or _client
        self._client: Any = None
        self._waiting: deque[Sample] = deque()
        self._max_samples = max_samples
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._full, self._ends = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._log_limiter = LogLimiter(logger)
        self.dropped = 0

    def add(self, sample: Sample) -> None:
        """Queue a sample for the next call, without waiting for any call."""
        with self._lock:
            self._waiting.append(sample)
            self._drop_oldest()
            if len(self._waiting) >= ENOUGH_SAMPLES:
                self._full.set()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="bridge-cloudwatch", daemon=True
                )
                self._thread.start()
                atexit.register(self.close)

    def close(self) -> None:
        """Send the samples that wait, within ``LAST_CALLS_S``."""
        self._ends.set()
        self._full.set()
        if self._thread is not None:
            self._thread.join(LAST_CALLS_S)

    def flush(self) -> bool:
        """Send the samples that wait; False if CloudWatch is away, so that some still wait."""
        with self._lock:
            samples, self._waiting = list(self._waiting), deque()
        kept: list[Sample] = []
        for data, parts in calls(samples):
            try:
                if not kept:  # after one failure the other calls would run into the same time-out
                    self._put(data)
                    continue
            except Exception as exc:  # noqa: BLE001 (jobs and reports must go on)
                refused = _is_refused(exc)
                self._warn(exc, len(parts), refused=refused)
                if refused:  # it would be refused again, and the samples behind it would wait
                    self.dropped += len(parts)
                    continue
            kept += parts
        with self._lock:
            self._waiting.extendleft(reversed(kept))
            self._drop_oldest()
        return not kept

    def _run(self) -> None:
        while not self._ends.is_set():
            self._full.wait(self._interval_s)
            self._full.clear()
            if not self.flush():
                self._ends.wait(self._interval_s)

    def _put(self, data: Sequence[dict[str, Any]]) -> None:
        if self._client is None:
            self._client = self._connect()
        self._client.put_metric_data(Namespace=NAMESPACE, MetricData=data)

    def _warn(self, exc: Exception, count: int, *, refused: bool) -> None:
        if not self._log_limiter.passes():
            return
        logger.warning(
            "CloudWatch does not take metrics (%s: %s): %d values are %s; %d were dropped so far. "
            "Jobs and reports are not affected.",
            type(exc).__name__,
            exc,
            count,
            "dropped" if refused else "sent again later",
            self.dropped,
        )

    def _drop_oldest(self) -> None:
        while len(self._waiting) > self._max_samples:
            self._waiting.popleft()
            self.dropped += 1


def calls(samples: Sequence[Sample]) -> Iterator[tuple[list[dict[str, Any]], list[Sample]]]:
    """The ``MetricData`` of as few calls as the limits allow, each with the samples in it."""
    groups: dict[Sample, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample._replace(value=0.0), []).append(sample)
    data: list[dict[str, Any]] = []
    parts: list[Sample] = []
    size = 0
    for group, members in groups.items():
        counts = Counter(member.value for member in members)
        distinct = list(counts.items())
        for start in range(0, len(distinct), MAX_VALUES):
            values = distinct[start : start + MAX_VALUES]
            datum = _datum(group, values)
            datum_size = _size_bytes(datum)
            if data and (len(data) >= MAX_METRICS or size + datum_size > MAX_CALL_BYTES):
                yield data, parts
                data, parts, size = [], [], 0
            data.append(datum)
            size += datum_size
            for value, count in values:
                parts += [group._replace(value=value)] * count
    if data:
        yield data, parts


def _datum(group: Sample, values: Sequence[tuple[float, int]]) -> dict[str, Any]:
    return {
        "MetricName": group.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in group.dimensions],
        "Timestamp": group.minute,
        "Unit": group.unit,
        "Values": [value for value, _ in values],
        "Counts": [float(count) for _, count in values],
    }


def _size_bytes(datum: dict[str, Any]) -> int:
    """An estimate that no protocol of AWS exceeds."""
    texts = sum(len(each["Name"]) + len(each["Value"]) + 100 for each in datum["Dimensions"])
    return 300 + texts + 120 * len(datum["Values"])


def _allowed(text: str) -> str:
    """The text as a dimension may have it: printable ASCII, 1 to 1,024 characters."""
    clean = "".join(char if " " <= char <= "~" else "?" for char in text[:1_024])
    return clean.strip().lstrip(":") or "none"


def _is_refused(exc: Exception) -> bool:
    if not isinstance(exc, ClientError):
        return False
    return str(exc.response.get("Error", {}).get("Code", "")).startswith(_REFUSED)


def _client() -> Any:
    """A client of CloudWatch, from the same environment as that of Step Functions."""
    config = Config(
        connect_timeout=5.0,
        read_timeout=10.0,
        retries={"mode": "standard", "total_max_attempts": 2},
    )
    connection = Connection.from_environment()
    session = connection.new_session()
    return session.create_client("cloudwatch", region_name=connection.region, config=config)
