"""The metrics of the processes, for Prometheus and CloudWatch; all are off by default.

``catalogue`` defines every metric and says how to add one. The loops call ``meters`` for each
event. ``prometheus`` counts the events, ``collector`` reads the fleet from the claim store, and
``exporter`` serves both. ``cloudwatch`` (PutMetricData) and ``emf`` (lines on stdout) publish to
CloudWatch. ``instruments`` sets up what the settings ask for, and ``scaling`` calculates the metric
for an autoscaler.
"""

from bridge.metrics.catalogue.cloudwatch import INTERVAL_S
from bridge.metrics.emf import of_job
from bridge.metrics.meters import OFF, Meters

__all__ = ["INTERVAL_S", "OFF", "Meters", "of_job"]
