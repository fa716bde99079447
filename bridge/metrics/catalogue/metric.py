"""What describes one metric of Prometheus.

Names follow Prometheus' conventions: base units, ``_seconds``, and ``_total`` for counters.

Source: prometheus.io/docs/practices/naming, prometheus.io/docs/instrumenting/writing_exporters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ACTIVITY = ("activity",)
"""The labels of a metric that has a series for each activity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        help: Its meaning in one sentence that does not begin with the metric's name.
        buckets: Upper bounds of a histogram, in its unit.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...] = ()
    help: str
    buckets: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """``seconds``, or empty if it is a number of things."""
        return "seconds" if "_seconds" in self.name else ""


def counter(name: str, *, labels: tuple[str, ...] = (), help: str) -> Metric:  # noqa: A002
    """A number of events, which only rises."""
    return Metric(name=name, kind="counter", labels=labels, help=help)


def gauge(name: str, *, labels: tuple[str, ...] = (), help: str) -> Metric:  # noqa: A002
    """A value of this moment."""
    return Metric(name=name, kind="gauge", labels=labels, help=help)


def histogram(
    name: str,
    *,
    labels: tuple[str, ...] = (),
    help: str,  # noqa: A002 (as Prometheus' client library calls it)
    buckets: tuple[float, ...],
) -> Metric:
    """The distribution of durations."""
    return Metric(name=name, kind="histogram", labels=labels, help=help, buckets=buckets)
