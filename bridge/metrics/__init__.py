"""What the processes say about themselves, to whoever collects it; all of it off by default.

``meters`` is what the loops call. Behind it stand ``prometheus`` (served by ``exporter``, with the
fleet as ``collector`` reads it from the store) and ``cloudwatch`` (PutMetricData); ``instruments``
sets up those that the settings ask for. ``emf`` is CloudWatch's other way in: lines on stdout.
``catalogue`` names what Prometheus sees; docs/metrics.md is made from it.
"""

from bridge.metrics.emf import INTERVAL_S, of_job
from bridge.metrics.meters import OFF, Meters

__all__ = ["INTERVAL_S", "OFF", "Meters", "of_job"]
