"""Metrics for CloudWatch by PutMetricData: from pollers and beat, which hold credentials.

Workers hold none, so a job is counted when its outcome is reported, with the times that the store
kept. Names, units and dimensions are those of ``emf``. A thread of its own sends, each minute or as
soon as a call is full; while CloudWatch is away a bounded number of values waits, the oldest are
dropped and counted, and no job waits for either.

Source: PutMetricData, Amazon CloudWatch API Reference: 1,000 metrics and 1 MB a call, 150 values a
metric, dimension values of 1 to 1,024 ASCII characters.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from botocore.config import Config
from botocore.exceptions import ClientError

from bridge.metrics.emf import INTERVAL_S, NAMESPACE, fleet_values
from bridge.metrics.meters import ErrorNames, Meters
from bridge.stepfunctions import Connection
from bridge.store import EndedClaim, Status
from bridge.support.log_limiter import LogLimiter

logger = logging.getLogger(__name__)

MAX_SAMPLES = 50_000
"""Values that wait at most, some 10 MB."""
ENOUGH_SAMPLES = 5_000
"""So many are sent at once, before the minute is over."""
MAX_METRICS = 1_000
MAX_VALUES = 150
MAX_CALL_BYTES = 900_000
"""By a generous estimate of its parts, so that no call reaches the 1 MB."""
LAST_CALLS_S = 3.0
"""How long the end of the process waits for the last values to be sent."""
_REFUSED = ("InvalidFormat", "InvalidParameter", "MissingRequiredParameter", "Validation")


class Sample(NamedTuple):
    """One value of one metric; samples of one minute that differ in the value only go together."""

    name: str
    unit: str
    dimensions: tuple[tuple[str, str], ...]
    minute: int
    value: float


class CloudWatchMeters(Meters):
    """Jobs as they are reported, and the fleet once a minute."""

    def __init__(self, publisher: Publisher | None = None) -> None:
        self._publisher = publisher or Publisher()
        self._errors = ErrorNames()

    def reported(self, ended: EndedClaim, error: str, *, taken: bool) -> None:
        """Count the job; its failure by error name."""
        activity = ("ActivityName", ended.activity)
        worker = ("WorkerName", ended.worker.partition("#")[0] or "none")
        if ended.ran_s is not None:
            self._add("TaskProcessingTime", "Seconds", ended.ran_s, activity, worker)
        self._add("TasksProcessed", "Count", 1.0, activity, worker)
        if error:
            name = ("ErrorName", self._errors.bounded(error))
            self._add("TaskErrors", "Count", 1.0, activity, name)

    def fleet(self, status: Status) -> None:
        """Say how the fleet stands."""
        for dimensions, values, units in fleet_values(status):
            for name, value in values.items():
                self._add(name, units[name], value, *dimensions.items())

    def _add(self, name: str, unit: str, value: float, *dimensions: tuple[str, str]) -> None:
        clean = tuple((key, _allowed(text)) for key, text in dimensions)
        minute = int(time.time() // 60) * 60
        self._publisher.add(Sample(name, unit, clean, minute, round(value, 3)))


class Publisher:
    """Sends samples from a thread of its own, which begins with the first of them.

    Args:
        connect: Makes the client; called again after it failed.
        max_samples: That wait at most.
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
        """Send it with the next call; never waits for one."""
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
        """Send what waits, within seconds."""
        self._ends.set()
        self._full.set()
        if self._thread is not None:
            self._thread.join(LAST_CALLS_S)

    def flush(self) -> bool:
        """Send what waits now; False: CloudWatch is away, and some of it waits on."""
        with self._lock:
            samples, self._waiting = list(self._waiting), deque()
        kept: list[Sample] = []
        for data, parts in calls(samples):
            try:
                if not kept:  # or the others would wait for the same time-out
                    self._put(data)
                    continue
            except Exception as exc:  # noqa: BLE001 (whatever it is, jobs and reports go on)
                refused = _is_refused(exc)
                self._say(exc, len(parts), refused=refused)
                if refused:  # it would be refused again, and all behind it wait
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

    def _say(self, exc: Exception, count: int, *, refused: bool) -> None:
        if not self._log_limiter.passes():
            return
        logger.warning(
            "CloudWatch does not take metrics (%s: %s): %d values are %s; %d were dropped so far. "
            "Jobs and reports go on.",
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
    """``MetricData`` of as few calls as the limits allow, each with the samples that it holds."""
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
    """No less than it takes in any of AWS's protocols."""
    texts = sum(len(each["Name"]) + len(each["Value"]) + 100 for each in datum["Dimensions"])
    return 300 + texts + 120 * len(datum["Values"])


def _allowed(text: str) -> str:
    """``text`` as the value of a dimension: printable ASCII, 1 to 1,024 characters."""
    clean = "".join(char if " " <= char <= "~" else "?" for char in text[:1_024])
    return clean.strip().lstrip(":") or "none"


def _is_refused(exc: Exception) -> bool:
    if not isinstance(exc, ClientError):
        return False
    return str(exc.response.get("Error", {}).get("Code", "")).startswith(_REFUSED)


def _client() -> Any:
    """A client of CloudWatch, from the environment that Step Functions' comes from."""
    config = Config(
        connect_timeout=5.0,
        read_timeout=10.0,
        retries={"mode": "standard", "total_max_attempts": 2},
    )
    connection = Connection.from_environment()
    session = connection.new_session()
    return session.create_client("cloudwatch", region_name=connection.region, config=config)
