"""RabbitMQ as the broker; the claims stay in Valkey."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from bridge.local.valkey import LocalValkey
from tests.faults import rabbitmq
from tests.faults.load import Load, all_alive, all_claims_gone
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(bool(rabbitmq.missing()), reason=rabbitmq.missing() or "-"),
    pytest.mark.timeout(300),
]

LEASE_S, SWEEP_S, SLACK_S = 3.0, 0.5, 2.5


@pytest.fixture
def broker():
    with rabbitmq.RabbitMQ() as server:
        yield server


@pytest.fixture
def fleet(deploy, broker):
    def make(kinds: str):
        store = LocalValkey().start()
        made = deploy(
            JOBS_ONLY=kinds, valkey=store, BRIDGE_STORE_URL=store.url, CELERY_BROKER_URL=broker.url
        )
        made.create_activities()
        return made

    return make


class TestRabbitMQ:
    def test_the_main_path(self, fleet):
        deployment = fleet("echo sleep")
        deployment.worker()
        deployment.beat()
        deployment.poller()
        machine = deployment.one_state("echo")
        executions = [deployment.execute(machine, id=str(n)) for n in range(20)]
        assert Counter(deployment.ended(e)["status"] for e in executions) == {"SUCCEEDED": 20}
        assert sorted(int(run[0]) for run in deployment.seen("echo")) == list(range(20))
        beaten = deployment.one_state("sleep", HeartbeatSeconds=3)
        execution = deployment.execute(beaten, id="long", seconds=6)
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        all_claims_gone(deployment)

    def test_a_killed_worker(self, fleet):
        """RabbitMQ hands its messages out again at once: the fence keeps them from running."""
        deployment = fleet("safe sleep")
        first = deployment.worker(concurrency=2)
        deployment.beat()
        deployment.poller()
        safe = deployment.execute(deployment.one_state("safe"), id="s", seconds=2)
        unsafe = deployment.execute(deployment.one_state("sleep"), id="u", seconds=60)
        wait_until(lambda: deployment.seen("safe") and deployment.seen("sleep"))
        second = deployment.worker("--loglevel", "INFO", concurrency=2)
        since = time.time()
        first.kill()
        second.says("does not run: its claim is running")
        assert deployment.ended(unsafe)["error"] == "Bridge.WorkerLost"
        assert time.time() - since < LEASE_S + SWEEP_S + SLACK_S
        assert deployment.ended(safe)["status"] == "SUCCEEDED"
        first_run, second_run = deployment.seen("safe")
        assert (first_run[2], second_run[2]) == ("1", "2")
        assert float(second_run[4]) - since < LEASE_S + SWEEP_S + SLACK_S
        assert len(deployment.seen("sleep")) == 1

    def test_the_broker_is_killed_and_comes_back(self, fleet, broker):
        """Jobs wait, and running ones end; every process comes back by itself."""
        deployment = fleet("sleep")
        deployment.worker(concurrency=4)
        deployment.worker("--pool", "threads", concurrency=4)
        deployment.beat()
        deployment.poller()
        machine = deployment.one_state("sleep", HeartbeatSeconds=30)
        with Load(deployment, machine, per_s=2, seconds=1) as load:
            wait_until(lambda: len(deployment.seen("sleep")) >= 4)
            broker.kill()
            time.sleep(10)
            broker.start()
            before = len(deployment.seen("sleep"))
            wait_until(lambda: len(deployment.seen("sleep")) >= before + 8, timeout_s=60)
        assert load.statuses() == {"SUCCEEDED": len(load.executions)}
        all_claims_gone(deployment)
        all_alive(deployment)
        runs = Counter(run[1] for run in deployment.seen("sleep"))
        assert set(runs.values()) == {1}
