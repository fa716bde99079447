"""Metrics of real processes: Prometheus and CloudWatch get what happened."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from bridge.local.child_processes import die_with_parent, free_port
from bridge.registry import SYSTEM_QUEUE
from tests.acceptance.deployment import CELERY, REGION, Deployment
from tests.faults.http_proxy import HttpProxy, answer
from tests.faults.proxy import Proxy
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
# Metric → the field of an activity in `status --json` that has the same value.
SAME = {
    "bridge_in_flight_claims": "in_flight",
    "bridge_queued_claims": "queued",
    "bridge_running_claims": "running",
    "bridge_outbox_claims": "outbox",
    "bridge_lost_claims": "lost",
    "bridge_open_polls": "polls",
    "bridge_fresh_polls": "fresh",
    "bridge_idle_polls": "idle",
    "bridge_waiting_claims": "waiting",
    "bridge_countdown_claims": "countdown",
    "bridge_held_back_claims": "held_back",
    "bridge_slots": "slots",
}
MOVING = ("oldest_s", "lease_s")
"""Fields that differ between two statuses although nothing has happened."""


class Scrape:
    """The samples of one or more expositions."""

    def __init__(self, *urls: str) -> None:
        self.texts = [get(url) for url in urls]
        self.samples = [
            sample
            for text in self.texts
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def sum(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels, and perhaps others."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def by(self, name: str, label: str) -> dict[str, float]:
        found = [sample for sample in self.samples if sample.name == name]
        return {sample.labels[label]: sample.value for sample in found}


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as page:
        return page.read().decode()


def metrics_port() -> tuple[dict[str, str], str]:
    """Settings of a process, and the URL of its metrics."""
    port = free_port()
    settings = {"BRIDGE_METRICS_PORT": str(port), "BRIDGE_METRICS_HOST": "127.0.0.1"}
    return settings, f"http://127.0.0.1:{port}/metrics"


def steady(status: dict) -> str:
    text = json.dumps({key: status[key] for key in ("activities", "totals", "workers", "pollers")})
    return re.sub(rf'"({"|".join(MOVING)})": [^,}}]+', "", text)


def scrape_with_status(urls: list[str], status_of) -> tuple[list[Scrape], dict]:
    """Scrapes of one moment: the status is the same before and after them."""

    def both():
        before = status_of()
        scrapes = [Scrape(url) for url in urls]
        after = status_of()
        return (scrapes, after) if steady(before) == steady(after) else None

    return wait_until(both, what="nothing happens for a moment")


def assert_equal(scrape: Scrape, status: dict) -> None:
    """Check that each metric of the fleet equals the status."""
    rows = status["activities"]
    for metric, field in SAME.items():
        assert scrape.by(metric, "activity") == {row["activity"]: row[field] for row in rows}
    for row in rows:
        for outcome in ("succeeded", "failed"):
            ended = scrape.sum(
                "bridge_tasks_ended_total", activity=row["activity"], outcome=outcome
            )
            assert ended == row[outcome]
        oldest = scrape.sum("bridge_oldest_claim_age_seconds", activity=row["activity"])
        assert oldest == pytest.approx(row["oldest_s"] or 0, abs=10)
    live = [worker for worker in status["workers"] if worker["lease_s"] >= 0]
    users = [worker for worker in live if set(worker["queues"]) != {SYSTEM_QUEUE}]
    assert scrape.sum("bridge_worker_slots") == status["totals"]["slots"]
    assert scrape.sum("bridge_free_slots") == status["totals"]["free"]
    occupied = {"claim": "claims", "ordinary": "ordinary", "unwanted": "unwanted"}
    assert scrape.by("bridge_occupied_slots", "occupant") == {
        occupant: status["totals"][key] for occupant, key in occupied.items()
    }
    assert scrape.sum("bridge_live_workers") == len(users)
    assert scrape.sum("bridge_live_pollers") == len(status["pollers"])
    assert scrape.sum("bridge_live_beats") == len(live) - len(users)


def observed(deployment: Deployment) -> list[str]:
    """Start a poller and a beat process with a port each; the URLs of their metrics."""
    beat, beat_url = metrics_port()
    poller, poller_url = metrics_port()
    deployment.beat(**beat)
    deployment.poller(**poller)
    return [poller_url, beat_url]


def test_scrapes_equal_the_status_and_what_was_run(deploy):
    """Eleven executions end and two go on; every metric counts them."""
    deployment = deploy(JOBS_ONLY="echo endings sleep")
    deployment.create_activities()
    deployment.worker()
    urls = observed(deployment)
    echo, endings = deployment.one_state("echo"), deployment.one_state("endings")
    started = [deployment.execute(echo, id=str(n)) for n in range(6)]
    started += [deployment.execute(endings, id=str(n), how="exception") for n in range(3)]
    started += [deployment.execute(endings, id=str(n), how="activity-error") for n in range(2)]
    ended = [deployment.ended(execution)["status"] for execution in started]
    assert (ended.count("SUCCEEDED"), ended.count("FAILED")) == (6, 5)
    long = deployment.one_state("sleep")
    for n in range(2):
        deployment.execute(long, id=str(n), seconds=100)
    wait_until(lambda: len(deployment.seen("sleep")) == 2, what="both long jobs run")
    wait_until(lambda: Scrape(*urls).sum("bridge_heartbeats_total") >= 2, what="heartbeats")

    scrapes, status = scrape_with_status(urls, deployment.status)
    assert (status["totals"]["running"], status["totals"]["in_flight"]) == (2, 2)
    for scrape in scrapes:  # each process publishes the same values of the fleet
        assert_equal(scrape, status)
        assert scrape.sum("bridge_store_up") == 1
        assert scrape.sum("bridge_tasks_ended_total", outcome="succeeded") == 6
        assert scrape.sum("bridge_tasks_ended_total", outcome="failed") == 5

    name = {kind: f"{deployment.prefix}-{kind}" for kind in ("echo", "endings", "sleep")}
    both = Scrape(*urls)  # counts of processes are summed
    assert both.sum("bridge_claims_total") == both.sum("bridge_polls_total", result="task") == 13
    assert both.sum("bridge_reports_total", result="taken") == both.sum("bridge_reports_total")
    assert both.sum("bridge_reports_total", activity=name["echo"], outcome="succeeded") == 6
    assert both.sum("bridge_reports_total", activity=name["endings"], error="TooHot") == 3
    assert both.sum("bridge_reports_total", error="ProcessingError", outcome="failed") == 2
    for metric in ("queue_wait", "run", "report_delay"):
        assert both.sum(f"bridge_{metric}_seconds_count") == 11
        assert both.sum(f"bridge_{metric}_seconds_count", activity=name["echo"]) == 6
        assert 0 <= both.sum(f"bridge_{metric}_seconds_sum") < 11 * 10
    assert both.sum("bridge_heartbeats_total", activity=name["sleep"], result="sent") >= 2
    assert both.sum("bridge_throttles_total") == 0

    with redis.Redis.from_url(deployment.valkey.url, decode_responses=True) as client:
        tokens = [client.get(key).partition("\n")[0] for key in client.keys("*:task:*")]
    assert len(tokens) == 2
    assert not [token for token in tokens if any(token in text for text in both.texts)]


def test_a_lost_worker_is_a_recovery_and_a_failure_by_name(deploy):
    deployment = deploy(JOBS_ONLY="sleep")
    deployment.create_activities()
    worker = deployment.worker()
    urls = observed(deployment)
    execution = deployment.execute(deployment.one_state("sleep"), id="1", seconds=100)
    wait_until(lambda: deployment.seen("sleep"), what="the job runs")
    worker.kill()
    assert deployment.ended(execution)["error"] == "Bridge.WorkerLost"
    wait_until(lambda: Scrape(*urls).sum("bridge_reports_total", error="Bridge.WorkerLost") == 1)
    both = Scrape(*urls)
    assert both.sum("bridge_recoveries_total", action="failed") == 1
    assert both.sum("bridge_run_seconds_sum") > 1, "it ran until its lease had ended"


def test_throttled_calls_are_counted(deploy, local_stepfunctions):
    """Each refusal counts, also those after which the client tries again by itself."""
    host, port = local_stepfunctions.url.removeprefix("http://").split(":")
    with HttpProxy(host, int(port)) as proxy:
        deployment = deploy(
            JOBS_ONLY="echo",
            stepfunctions_url=local_stepfunctions.url,
            AWS_ENDPOINT_URL_SFN=proxy.url(),
        )
        deployment.create_activities()
        deployment.worker()
        urls = observed(deployment)
        refuse = answer(400, "ThrottlingException", "Rate exceeded", done="throttled")
        proxy.rule(refuse, operation="SendTaskSuccess", count=2)
        assert deployment.outcome("echo", id="1")[0] == "SUCCEEDED"
        refused = [call for call in proxy.calls if call.done == "throttled"]
        assert len(refused) == 2
        wait_until(lambda: Scrape(*urls).sum("bridge_reports_total", result="taken") == 1)
        both = Scrape(*urls)
        assert both.sum("bridge_throttles_total", call="SendTaskSuccess") == 2
        assert both.sum("bridge_throttles_total") == 2
        assert both.sum("bridge_report_delay_seconds_sum") > 0.1, "it waited for its turn"


def test_without_the_store_a_scrape_still_answers(deploy):
    """The connection is half-open, the worst case: nothing answers and nothing is refused."""
    deployment = deploy(JOBS_ONLY="echo")
    with Proxy("127.0.0.1", deployment.valkey.port) as proxy:
        deployment.env["CELERY_BROKER_URL"] = proxy.url("redis") + "/0"
        deployment.create_activities()
        deployment.worker()
        urls = observed(deployment)
        assert deployment.outcome("echo", id="1")[0] == "SUCCEEDED"
        wait_until(lambda: Scrape(*urls).sum("bridge_reports_total") == 1)
        proxy.freeze()
        time.sleep(1.1)  # longer than a reading is kept
        for url in urls:
            began = time.monotonic()
            scrape = Scrape(url)
            assert time.monotonic() - began < 10, "Prometheus' time-out"
            fleet = {s.name for s in scrape.samples if s.name.startswith("bridge_")}
            assert scrape.sum("bridge_store_up") == 0
            assert "bridge_in_flight_claims" not in fleet
            assert "bridge_tasks_ended_total" not in fleet
        assert Scrape(*urls).sum("bridge_reports_total") == 1, "what a process counted is there"
        proxy.heal()
        wait_until(lambda: Scrape(*urls).sum("bridge_store_up") == 2, what="the store is back")
        assert Scrape(urls[0]).sum("bridge_tasks_ended_total") == 1


def test_each_process_needs_a_port_of_its_own_and_workers_take_none(deploy):
    deployment = deploy(JOBS_ONLY="echo")
    deployment.create_activities()
    settings, url = metrics_port()
    deployment.poller(**settings)
    deployment.worker(**settings)  # a worker takes no port, so it starts
    for start in (deployment.poller, deployment.beat):
        second = start(wait=False, **settings)
        assert second.wait() == 2, second.output
        assert "needs a BRIDGE_METRICS_PORT of its own" in second.output
        assert "Traceback" not in second.output
    assert Scrape(url).sum("bridge_store_up") == 1


def test_the_poller_publishes_to_cloudwatch_and_the_worker_does_not(deploy, local_stepfunctions):
    """CloudWatch's sums are right; the last values are sent when the process ends."""
    if local_stepfunctions.external:
        pytest.skip("it would write to a real CloudWatch")
    deployment = deploy(
        JOBS_ONLY="echo endings",
        BRIDGE_METRICS="cloudwatch",
        AWS_ENDPOINT_URL_CLOUDWATCH=local_stepfunctions.url,
    )
    deployment.create_activities()
    worker = deployment.worker()
    deployment.beat()
    poller = deployment.poller()
    for n in range(3):
        assert deployment.outcome("echo", id=str(n))[0] == "SUCCEEDED"
    assert deployment.outcome("endings", id="x", how="exception")[1] == "TooHot"
    wait_until(lambda: deployment.status()["totals"]["in_flight"] == 0, what="all is closed")
    poller.signal(signal.SIGTERM)
    assert poller.wait(60) == 0, poller.output

    cloudwatch = boto3.client(
        "cloudwatch",
        endpoint_url=local_stepfunctions.url,
        region_name=REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local-secret",
    )

    def added_up(name: str, statistic: str, **dimensions: str) -> float:
        points = cloudwatch.get_metric_statistics(
            Namespace="StepFunctions/Activities",
            MetricName=name,
            Period=3_600,
            StartTime=time.time() - 3_600,
            EndTime=time.time() + 3_600,
            Statistics=[statistic],
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        )
        return sum(point[statistic] for point in points["Datapoints"])

    echo, endings = f"{deployment.prefix}-echo", f"{deployment.prefix}-endings"
    (node,) = {
        each["worker"].partition("#")[0]
        for each in deployment.status()["workers"]
        if each["worker"].startswith("w")
    }
    assert added_up("TasksProcessed", "Sum", ActivityName=echo, WorkerName=node) == 3
    assert added_up("TaskProcessingTime", "SampleCount", ActivityName=echo, WorkerName=node) == 3
    assert 0 <= added_up("TaskProcessingTime", "Sum", ActivityName=echo, WorkerName=node) < 30
    assert added_up("TasksProcessed", "Sum", ActivityName=endings, WorkerName=node) == 1
    assert added_up("TaskErrors", "Sum", ActivityName=endings, ErrorName="TooHot") == 1
    assert "_aws" not in worker.output


# Prints what `status --json` prints for each line of input: the command itself takes a second to
# start, in which executions go on.
ASKED_AGAIN = """
import json, sys
from bridge.celery import app
from bridge.cli.status.overview import Overview
from bridge.store import StatusReader

app.loader.import_default_modules()
app.finalize()
reader = StatusReader(app.bridge.settings)
for _ in sys.stdin:
    status = Overview.of(reader.read(list(app.bridge.registry)), app.bridge.registry)
    print(json.dumps(status.as_json()), flush=True)
"""


class Demo:
    """The demo, kept running, and the status of its deployment."""

    def __init__(self, folder: Path) -> None:
        for name in ("tasks", "Procfile"):
            (folder / name).symlink_to(ROOT / name)
        self.folder, self.said = folder, folder / "stderr.log"
        self._err = self.said.open("wb")
        self._demo = subprocess.Popen(
            [str(CELERY), "-A", "bridge", "demo", "--executions", "8", "--keep", "--json"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=self._err,
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self._status: subprocess.Popen[str] | None = None

    def started(self) -> list[str]:
        """The URLs of its metrics, as soon as it prints them."""

        def urls():
            assert self._demo.poll() is None, self.said.read_text()
            return re.search(r"metrics: (\S+) (\S+)", self.said.read_text())

        found = wait_until(urls, timeout_s=60, what="the demo says where its metrics are")
        (log,) = (self.folder / "var" / "demo").glob("*/local.log")
        local = log.read_text()
        self.env = {**os.environ, **json.loads(local[local.index("{") : local.index("}") + 1])}
        self._status = subprocess.Popen(
            [sys.executable, "-c", ASKED_AGAIN],
            cwd=self.folder,
            text=True,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        return list(found.groups())

    @property
    def ended(self) -> bool:
        return "Ctrl-C" in self.said.read_text()

    def status(self) -> dict:
        print(file=self._status.stdin, flush=True)
        return json.loads(self._status.stdout.readline())

    def command(self) -> dict:
        done = subprocess.run(
            [str(CELERY), "-A", "bridge", "status", "--json"],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout)

    def stop(self) -> dict:
        """End the demo; what it printed on stdout."""
        if self._status is not None:
            self._status.communicate(timeout=10)
        self._demo.send_signal(signal.SIGINT)
        out, _ = self._demo.communicate(timeout=60)
        self._err.close()
        return json.loads(out) if out else {}


def test_while_the_demo_runs_scrapes_equal_the_status(tmp_path):
    """Its poller and beat process are scraped from the first execution to the last."""
    demo = Demo(tmp_path)
    try:
        urls = demo.started()
        busy, deadline = 0, time.monotonic() + 90
        while True:
            # A process keeps its reading for a second: older than the status it is compared with.
            time.sleep(1.1)
            ended, before = demo.ended, demo.status()
            scrapes, after = [Scrape(url) for url in urls], demo.status()
            if steady(before) == steady(after):
                for scrape in scrapes:
                    assert_equal(scrape, after)
                busy += after["totals"]["in_flight"] > 0
                if ended and after["totals"]["in_flight"] == 0:
                    break
            assert time.monotonic() < deadline, "the demo does not end"
        assert busy, "it was compared while executions were running"

        (poller, beat), status = scrape_with_status(urls, demo.command)
        assert_equal(poller, status)
        assert_equal(beat, status)
        both = Scrape(*urls)
        count = status["totals"]["succeeded"] + status["totals"]["failed"]
        assert count >= 8
        assert both.sum("bridge_reports_total", result="taken") == count
        assert both.sum("bridge_claims_total") == count
        assert both.sum("bridge_run_seconds_count") == count
    finally:
        report = demo.stop()
    assert report["ok"]
    assert list(report["metrics"].values()) == urls
