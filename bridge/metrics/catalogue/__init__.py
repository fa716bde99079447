"""Every metric that the bridge publishes: name, type, labels or dimensions, unit, meaning.

To add a metric, begin here:

- **Of a process, for Prometheus**: define it in ``process.py``. Add a method for the event to
  ``Meters`` and ``Several`` (``metrics/meters.py``), count it in ``metrics/prometheus.py``, and
  call the method where the event happens.
- **Of the fleet, for Prometheus**: define it in ``fleet.py``, and give it a value in
  ``metrics/collector.py``.
- **For CloudWatch**: define it in ``cloudwatch.py``, and give it a value in
  ``metrics/fleet_values.py``; one of each job gets it in ``metrics/cloudwatch.py`` and
  ``metrics/emf.py``.

``python docs/_generate.py`` then writes the tables of docs/metrics.md.
"""

from bridge.metrics.catalogue import cloudwatch, fleet, process

__all__ = ["cloudwatch", "fleet", "process"]
