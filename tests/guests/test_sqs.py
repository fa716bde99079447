"""The app of docs/howto/sqs.md, with moto's SQS and real processes.

Receiving needs pycurl: kombu's SQS transport has no other HTTP client for its event loop.
"""

from __future__ import annotations

import json
import os
import time
import uuid

import boto3
import pytest
from moto.server import ThreadedMotoServer

from bridge.local.valkey import LocalValkey
from tests.acceptance.deployment import Deployment
from tests.faults.http_proxy import HttpProxy, answer
from tests.waiting import wait_until

pytest.importorskip("pycurl", reason="kombu's SQS transport receives with pycurl")
pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(180)]

APP = "shop"
REGION = "eu-west-1"


@pytest.fixture(scope="module")
def sqs_port():
    """The port of moto's SQS on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


def broker_url(port: int) -> str:
    return f"sqs://local:local-secret@127.0.0.1:{port}"


class Shop(Deployment):
    """The app's processes, its queues, and what its tasks noted."""

    def __init__(self, host_app, sqs_port: int, **options) -> None:
        queues = f"q{uuid.uuid4().hex[:8]}-"
        super().__init__(
            host_app.folder,
            CELERY_BROKER_URL=broker_url(sqs_port),
            BRIDGE_STORE_URL=options["valkey"].url,
            QUEUE_PREFIX=queues,
            PYTHONPATH=str(host_app.folder),
            SEEN=str(host_app.folder / "seen.log"),
            BRIDGE_TICK_S="1",
            **options,
        )
        del self.env["BRIDGE_TASKS"]
        self.sqs = boto3.client(
            "sqs",
            endpoint_url=f"http://127.0.0.1:{sqs_port}",
            region_name=REGION,
            aws_access_key_id="local",
            aws_secret_access_key="local-secret",
        )
        self.queue_prefix = queues

    def queues(self) -> set[str]:
        urls = self.sqs.list_queues(QueueNamePrefix=self.queue_prefix).get("QueueUrls", [])
        return {url.rpartition("/")[2].removeprefix(self.queue_prefix) for url in urls}

    def url(self, queue: str) -> str:
        return self.sqs.get_queue_url(QueueName=self.queue_prefix + queue)["QueueUrl"]

    def waiting(self, queue: str) -> int:
        """How many messages a queue has, received ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url(queue), AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def noted(self, kind: str) -> list[list[str]]:
        seen = self.folder / "seen.log"
        lines = seen.read_text().splitlines() if seen.exists() else []
        return [line.split()[1:] for line in lines if line.split()[0] == kind]

    def in_flight(self) -> int:
        status = json.loads(self.run("status", "--json", app=APP).stdout)
        return sum(row["in_flight"] for row in status["activities"])

    def start_all(self, *, workers: int = 1, concurrency: int = 4, **poller: str) -> None:
        """Create the activities; start workers, beat and a poller with this environment."""
        made = self.run("activities", "create", app=APP)
        assert made.returncode == 0, made.stderr
        for _ in range(workers):
            self.worker(app=APP, concurrency=concurrency)
        self.beat(app=APP)
        self.poller(app=APP, **poller)


@pytest.fixture
def shop(host_app, sqs_port, local_stepfunctions):
    app = host_app("sqs")
    valkey = LocalValkey().start()
    deployment = Shop(app, sqs_port, valkey=valkey, stepfunctions_url=local_stepfunctions.url)
    yield deployment
    deployment.stop()


def test_activities_and_ordinary_tasks_run_once_each(shop):
    shop.start_all()
    machine = shop.one_state("price")
    executions = [shop.execute(machine, id=number) for number in range(20)]
    shop.run("call", "shop.tasks.add", "--args", "[2, 3]", app=APP)
    ended = [shop.ended(execution) for execution in executions]

    assert [json.loads(each["output"]) for each in ended] == [2 * n for n in range(20)]
    assert sorted(int(number) for number, _ in shop.noted("price")) == list(range(20))
    wait_until(lambda: shop.noted("add") == [["5"]], what="the ordinary task has run")
    assert shop.queues() == {"shop-orders", "bridge-system"}
    assert "Traceback" not in shop.output
    wait_until(lambda: shop.waiting("shop-orders") == 0, what="every message is deleted")
    wait_until(lambda: shop.waiting("bridge-system") <= 10, what="the ticks are consumed")
    assert shop.in_flight() == 0
    doctor = json.loads(shop.run("doctor", "--json", app=APP).stdout)
    bad = {each["check"] for each in doctor if each["level"] != "ok"}
    assert bad == {"claims survive a restart of Redis"}, doctor


def test_a_killed_workers_job_runs_on_another(shop):
    shop.start_all(workers=2)
    execution = shop.execute(shop.one_state("slow"), id=1, seconds=4)
    wait_until(lambda: shop.noted("slow"), what="it runs")
    (_, pid) = shop.noted("slow")[0]
    group = os.getpgid(int(pid))
    next(process for process in shop.processes if process.popen.pid == group).kill()
    assert shop.ended(execution)["status"] == "SUCCEEDED"
    assert len(shop.noted("slow")) == 2


def test_a_lost_message_is_published_again(shop):
    """The message is purged from the queue, as its retention period would do."""
    shop.start_all(concurrency=1)
    machine = shop.one_state("slow", HeartbeatSeconds=30)
    first = shop.execute(machine, id=1, seconds=5)
    wait_until(lambda: shop.noted("slow"), what="the worker is busy")
    second = shop.execute(machine, id=2, seconds=0)
    wait_until(lambda: shop.waiting("shop-orders") >= 1, what="the second waits")
    time.sleep(1)
    shop.sqs.purge_queue(QueueUrl=shop.url("shop-orders"))
    assert shop.ended(first)["status"] == "SUCCEEDED"
    assert shop.ended(second)["status"] == "SUCCEEDED"


def test_a_message_that_is_redelivered_while_its_job_runs_runs_once(shop):
    shop.env["VISIBLE_S"] = "2"
    shop.start_all(workers=2)
    execution = shop.execute(shop.one_state("slow"), id=1, seconds=7)
    assert shop.ended(execution)["status"] == "SUCCEEDED"
    assert len(shop.noted("slow")) == 1


def test_a_cancelled_job_is_dropped_and_nothing_else_is_harmed(shop):
    shop.start_all()
    machine = shop.one_state("slow")
    execution = shop.execute(machine, id=1, seconds=6)
    wait_until(lambda: shop.noted("slow"), what="it runs")
    shop.sfn.stop_execution(executionArn=execution)
    assert shop.outcome("price", id=4) == ("SUCCEEDED", 8, "")
    wait_until(lambda: shop.in_flight() == 0, what="the claim is closed")
    assert "Traceback" not in shop.output
    assert shop.queues() == {"shop-orders", "bridge-system"}


@pytest.mark.parametrize(
    "refusal",
    [answer(403, "ExpiredToken", "The token is expired"), answer(400, "ThrottlingException", "x")],
    ids=["expired credentials", "throttled"],
)
def test_a_temporary_refusal_of_sqs_fails_no_execution(shop, sqs_port, refusal):
    with HttpProxy("127.0.0.1", sqs_port) as sqs:
        shop.start_all(CELERY_BROKER_URL=broker_url(sqs.port))
        sqs.rule(refusal, operation="SendMessage")
        machine = shop.one_state("price", HeartbeatSeconds=30)
        executions = [shop.execute(machine, id=number) for number in range(3)]
        poller = shop.processes[-1]
        poller.says("is not dispatched yet", timeout_s=60)
        sqs.heal()
        assert [json.loads(shop.ended(each)["output"]) for each in executions] == [0, 2, 4]
    assert poller.output.count("is not dispatched yet") == 1
    assert "Traceback" not in shop.output


def test_an_input_that_is_too_large_for_sqs_fails_by_name(shop):
    """SQS takes 1 MiB; an input of 800,000 bytes is longer, because it is base64-encoded twice."""
    shop.start_all()
    status, error, cause = shop.outcome("price", id="x" * 800_000)
    assert (status, error) == ("FAILED", "Bridge.NotDispatched")
    assert "must be shorter than" in cause
    assert shop.outcome("price", id=4) == ("SUCCEEDED", 8, "")


def test_without_the_bridge_the_apps_own_task_runs_the_same(host_app, sqs_port, shop):
    """It uses the same queue and no other, and has the same results."""
    plain = Shop(
        host_app("sqs", bridge=False),
        sqs_port,
        valkey=shop.valkey,
        stepfunctions_url=shop.env["AWS_ENDPOINT_URL_SFN"],
    )
    try:
        for each in (plain, shop):
            each.worker(app=APP)
            each.run("call", "shop.tasks.add", "--args", "[2, 3]", app=APP)
            wait_until(lambda each=each: each.noted("add") == [["5"]], what="it has run")
            assert each.queues() == {"shop-orders"}
            assert "Traceback" not in each.output
    finally:
        plain.stop()
