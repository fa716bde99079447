"""Set up the metrics of one process, a poller or a beat process, as its settings ask for."""

from __future__ import annotations

import logging

from bridge.app_state import Installation
from bridge.metrics import emf
from bridge.metrics.cloudwatch import CloudWatchMeters
from bridge.metrics.meters import OFF, Meters, Several
from bridge.store import Status, StatusReader

logger = logging.getLogger(__name__)


class Instruments:
    """The meters of this process, and what publishes their counts.

    Attributes:
        meters: What the loops report their events to.
    """

    def __init__(self, bridge: Installation) -> None:
        self._bridge = bridge
        self._port = bridge.settings.metrics_port
        chosen: list[Meters] = []
        self._cloudwatch: CloudWatchMeters | None = None
        if bridge.settings.metrics == "cloudwatch":
            self._cloudwatch = CloudWatchMeters()
            chosen.append(self._cloudwatch)
        if self._port:
            # Imported here, because a process without a metrics port does not need it.
            from prometheus_client import CollectorRegistry

            from bridge.metrics.prometheus import PrometheusMeters

            self._prometheus = CollectorRegistry()
            chosen.append(PrometheusMeters(self._prometheus))
        match chosen:
            case []:
                self.meters = OFF
            case [only]:
                self.meters = only
            case _:
                self.meters = Several(*chosen)

    def bind(self) -> None:
        """Take the port for Prometheus, if one is set.

        Raises:
            SettingsError: The port is taken, or the address is not one of this machine.
        """
        if not self._port:
            return
        from bridge.metrics.collector import FleetCollector
        from bridge.metrics.exporter import Exporter

        self._exporter = Exporter(
            self._prometheus, host=self._bridge.settings.metrics_host, port=self._port
        )
        reader = StatusReader(self._bridge.settings)
        self._prometheus.register(FleetCollector(reader, self._bridge.registry))

    def serve(self) -> None:
        """Answer scrapes from now on; call ``bind`` first."""
        if self._port:
            self._exporter.start()
            logger.info("metrics are at http://%s/metrics", self._exporter.address)

    def publish_fleet(self, status: Status) -> None:
        """Publish the fleet's metrics to CloudWatch, in the way that the settings name."""
        if self._cloudwatch is not None:
            self._cloudwatch.fleet(status)
        elif self._bridge.settings.metrics == "emf":
            emf.publish(status)
