"""What Prometheus sees: the names, the parsed exposition, the bounds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as families_of

from bridge.metrics import catalogue
from bridge.metrics.collector import FleetCollector, families
from bridge.metrics.meters import MAX_ERRORS, OFF, Meters, Several
from bridge.metrics.prometheus import PrometheusMeters
from bridge.store import ActivityStatus, EndedClaim, Status, WorkerStatus

ALL = (*catalogue.process.ALL, *catalogue.fleet.ALL)
STATUS = Status(
    activities=[
        ActivityStatus(
            "resize",
            in_flight=10,
            queued=5,
            running=4,
            outbox=1,
            lost=1,
            polls=3,
            oldest_s=42.5,
            succeeded=10,
            failed=2,
            waiting_in={"celery": 1, "old": 1},
            countdown=2,
            held_back=1,
            fresh=2,
            idle=1,
        ),
        ActivityStatus(
            "gone", in_flight=1, queued=1, running=0, outbox=0, lost=0, polls=0, oldest_s=None
        ),
    ],
    workers=[
        WorkerStatus("w1", 6, ("celery",), 3, 10.0, ordinary=1, unwanted=1, offered=4, used=3),
        WorkerStatus("w0", 0, ("celery",), 2, 10.0),
        WorkerStatus("w2", 8, ("celery", "other"), 1, -2.0),
        WorkerStatus("beat", 8, ("bridge.system",), 0, 10.0),
    ],
    pollers=["p1", "p2"],
    passes={"heartbeat": 0.5},
    outbox_s=3.0,
)


class FakeActivity:
    queue = "celery"


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
    """Each event once."""
    meters.polled("resize", "task")
    meters.claimed("resize")
    meters.throttled("SendTaskHeartbeat")
    meters.beat("resize", "sent")
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


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric):
    """prometheus.io/docs/practices/naming."""
    assert re.fullmatch(r"bridge_[a-z][a-z_]*[a-z]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(r"_(ms|millis|minutes|mb|kb|count|sum|bucket|info)(_|$)", metric.name)
    if metric.kind == "histogram":
        assert metric.name.endswith("_seconds")
        assert list(metric.buckets) == sorted(set(metric.buckets))
    elif "age" in metric.name:
        assert metric.unit == "seconds"
    assert metric.help.endswith(".")
    assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)
    assert not {"le", "quantile", "job", "instance"} & set(metric.labels), "Prometheus' own"


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


def test_times_are_observed_where_they_are_known(registry, meters):
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
    """Users choose them, and each is a series."""
    failed = EndedClaim("resize", "", "", None, None, None)
    for number in range(MAX_ERRORS + 50):
        meters.reported(failed, f"Error{number}", taken=True)
    meters.reported(failed, "Error0", taken=True)
    (family,) = (f for f in registry.collect() if f.name == "bridge_reports")
    found = {s.labels["error"]: s.value for s in family.samples if s.name.endswith("_total")}
    assert len(found) == MAX_ERRORS + 1
    assert (found["other"], found["Error0"]) == (50, 2)


def test_off_costs_a_call_and_several_tell_all(registry, meters):
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


def test_the_fleet_is_what_the_status_says():
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families(STATUS, {"resize": FakeActivity})
        for sample in family.samples
    }
    assert found["bridge_in_flight_claims", "resize"] == 10
    assert found["bridge_queued_claims", "resize"] == 5
    assert found["bridge_waiting_claims", "resize"] == 2
    assert found["bridge_countdown_claims", "resize"] == 2
    assert found["bridge_held_back_claims", "resize"] == 1
    assert found["bridge_fresh_polls", "resize"] == 2
    assert found["bridge_idle_polls", "resize"] == 1
    occupied = {by: found["bridge_occupied_slots", by] for by in ("claim", "ordinary", "unwanted")}
    assert occupied == {"claim": 3, "ordinary": 1, "unwanted": 1}
    assert found["bridge_free_slots",] == 1
    assert found["bridge_running_claims", "resize"] == 4
    assert found["bridge_slots", "resize"] == 6, "the other worker's lease has ended"
    assert found["bridge_slots", "gone"] == 0, "no task has it any more"
    assert found["bridge_oldest_claim_age_seconds", "resize"] == 42.5
    assert found["bridge_oldest_claim_age_seconds", "gone"] == 0
    assert found["bridge_tasks_ended_total", "resize", "failed"] == 2
    assert found["bridge_worker_slots",] == 6
    assert found["bridge_backlog_per_slot",] == 1.0, "5 occupied, 1 waits where a worker is"
    assert (found["bridge_live_workers",], found["bridge_lost_workers",]) == (2, 1)
    assert (found["bridge_live_pollers",], found["bridge_live_beats",]) == (2, 1)
    assert (found["bridge_outbox_age_seconds",], found["bridge_open_polls", "resize"]) == (3, 3)
    assert found["bridge_pass_age_seconds", "heartbeat"] == 0.5


def test_the_documentation_lists_the_catalogue():
    text = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text("utf-8")
    listed = set(re.findall(r"^\| `(bridge_\w+)` \|", text, re.MULTILINE))
    assert listed == {metric.name for metric in ALL}
