"""What Prometheus sees of a process: names, labels, values, bounds."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as families_of

from bridge.metrics import catalogue
from bridge.metrics.collector import FleetCollector
from bridge.metrics.meters import MAX_ERRORS, OFF, Meters, Several
from bridge.metrics.prometheus import PrometheusMeters
from bridge.store import EndedClaim
from tests.unit.metrics.fleet import STATUS, FakeActivity

ALL = (*catalogue.process.ALL, *catalogue.fleet.ALL)


class FakeReader:
    def __init__(self, status=STATUS):
        self.status, self.reads = status, 0

    def read(self, activities):
        self.reads += 1
        if isinstance(self.status, Exception):
            raise self.status
        return self.status


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def meters(registry) -> PrometheusMeters:
    return PrometheusMeters(registry)


def use(meters: Meters) -> None:
    """Count each event once."""
    meters.polled("resize", "task")
    meters.claimed("resize")
    meters.throttled("SendTaskHeartbeat")
    meters.heartbeat("resize", "sent")
    meters.recovered("resize", "again")
    meters.reported(EndedClaim("resize", "w1#a", "", 0.3, 2.0, 0.02), "", taken=True)
    meters.reported(EndedClaim("resize", "w1#a", "", None, None, None), "Boom", taken=False)
    meters.postponed("ServiceUnavailable")


def test_the_registry_holds_the_catalogue_and_nothing_else(registry, meters):
    registry.register(FleetCollector(FakeReader(), {"resize": FakeActivity}))
    use(meters)
    found = {
        family.name + "_total" * (family.type == "counter"): (family.type, family.documentation)
        for family in registry.collect()
        if not family.name.startswith("process_")
    }
    assert found == {metric.name: (metric.kind, metric.help) for metric in ALL}


def test_labels_are_those_of_the_catalogue(registry, meters):
    registry.register(FleetCollector(FakeReader(), {"resize": FakeActivity}))
    use(meters)
    labels = {metric.name: set(metric.labels) for metric in ALL}
    for family in registry.collect():
        name = family.name + "_total" * (family.type == "counter")
        for sample in family.samples:
            if name in labels:
                assert set(sample.labels) - {"le"} == labels[name], sample


@pytest.mark.parametrize(
    ("generate", "parse"), [(generate_latest, families_of), (generate_openmetrics, openmetrics)]
)
def test_the_exposition_parses(registry, meters, generate, parse):
    registry.register(FleetCollector(FakeReader(), {"resize": FakeActivity}))
    use(meters)
    meters.reported(EndedClaim('odd"\n\\name', "", "", 1.0, 1.0, 1.0), 'Über"\n\\Error', taken=True)
    parsed = {family.name: family for family in parse(generate(registry).decode())}
    assert {sample.labels["error"] for sample in parsed["bridge_reports"].samples} == {
        "",
        "Boom",
        'Über"\n\\Error',
    }
    names = {metric.name.removesuffix("_total") for metric in ALL}
    assert names <= {name.removesuffix("_total") for name in parsed}


def test_times_are_observed_if_they_are_known(registry, meters):
    use(meters)

    def value(name, **labels):
        return registry.get_sample_value(name, {"activity": "resize", **labels})

    assert value("bridge_queue_wait_seconds_count") == 1
    assert value("bridge_queue_wait_seconds_sum") == pytest.approx(0.3)
    assert value("bridge_run_seconds_sum") == pytest.approx(2.0)
    assert value("bridge_report_delay_seconds_bucket", le="0.025") == 1
    labels = {"outcome": "failed", "error": "Boom", "result": "closed"}
    assert value("bridge_reports_total", **labels) == 1


def test_error_names_are_bounded(registry, meters):
    """Users choose error names, and each one is a series."""
    failed = EndedClaim("resize", "", "", None, None, None)
    for number in range(MAX_ERRORS + 50):
        meters.reported(failed, f"Error{number}", taken=True)
    meters.reported(failed, "Error0", taken=True)
    (family,) = (f for f in registry.collect() if f.name == "bridge_reports")
    found = {s.labels["error"]: s.value for s in family.samples if s.name.endswith("_total")}
    assert len(found) == MAX_ERRORS + 1
    assert (found["other"], found["Error0"]) == (50, 2)


def test_off_counts_nothing_and_several_count_in_each(registry, meters):
    use(OFF)
    other = CollectorRegistry()
    use(Several(meters, PrometheusMeters(other)))
    for each in (registry, other):
        assert each.get_sample_value("bridge_claims_total", {"activity": "resize"}) == 1
        assert each.get_sample_value("bridge_throttles_total", {"call": "SendTaskHeartbeat"}) == 1


def test_every_event_reaches_every_kind_of_meters():
    """A new event must not be forgotten in one of them."""
    events = {name for name in vars(Meters) if not name.startswith("_")}
    for kind in (Several, PrometheusMeters):
        assert events <= set(vars(kind)), kind
