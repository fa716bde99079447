"""The bridge with RabbitMQ as the broker: main path, kills and outages. Claims are in Valkey."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest

from bridge.local.child_processes import clean_environment
from bridge.local.valkey import LocalValkey
from bridge.registry import SYSTEM_QUEUE
from tests.acceptance.deployment import Deployment
from tests.faults.load import all_alive, all_claims_gone
from tests.faults.proxy import Proxy
from tests.faults.rabbitmq import RabbitMQ, rabbitmq_missing
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(bool(rabbitmq_missing()), reason=rabbitmq_missing() or "-"),
    pytest.mark.timeout(300),
]

LEASE_S, TICK_S, SLACK_S = 3.0, 0.5, 5.0
BOUND_S = LEASE_S + TICK_S + SLACK_S
AWAY_S = 10.0
QUEUES = ("celery", SYSTEM_QUEUE)


@pytest.fixture(scope="module")
def server():
    with RabbitMQ() as broker:
        yield broker


@pytest.fixture
def broker(server):
    """The module's RabbitMQ, with the queues of earlier tests deleted."""
    server.delete_queues(*QUEUES)
    return server


@pytest.fixture
def fleet(deploy, broker) -> Callable[..., Deployment]:
    """Make a deployment with claims in Valkey and jobs in RabbitMQ; it has no processes yet."""

    def make(kinds: str) -> Deployment:
        store = LocalValkey().start()
        made = deploy(
            JOBS_ONLY=kinds, valkey=store, BRIDGE_STORE_URL=store.url, CELERY_BROKER_URL=broker.url
        )
        made.create_activities()
        return made

    return make


def statuses(deployment: Deployment, executions: list[str]) -> Counter[str]:
    """Wait until all executions have ended; how many ended with each status."""
    return Counter(deployment.ended(e, timeout_s=120)["status"] for e in executions)


def runs_of_inputs(deployment: Deployment, kind: str) -> Counter[int]:
    return Counter(int(run.id) for run in deployment.seen(kind))


class TestMainPath:
    def test_each_input_runs_once(self, fleet, broker):
        deployment = fleet("echo sleep")
        deployment.worker()
        deployment.beat()
        deployment.poller()
        machine = deployment.one_state("echo")
        executions = [deployment.execute(machine, id=str(n)) for n in range(20)]
        # Longer than its HeartbeatSeconds: ticks go through RabbitMQ, too.
        long = deployment.one_state("sleep", HeartbeatSeconds=3)
        executions.append(deployment.execute(long, id="20", seconds=6))
        assert statuses(deployment, executions) == {"SUCCEEDED": 21}
        assert runs_of_inputs(deployment, "echo") == dict.fromkeys(range(20), 1)
        assert len(deployment.seen("sleep")) == 1
        assert [broker.queue_type(name) for name in QUEUES] == ["classic", "classic"]
        all_claims_gone(deployment)
        all_alive(deployment)


class TestTicks:
    def test_they_never_pile_up(self, fleet, broker):
        """Neither while their worker is frozen nor when its messages return to the queue."""
        deployment = fleet("echo")
        beat = deployment.beat()
        beat.says("Task bridge.recover[")
        beat.signal(signal.SIGSTOP)
        until, longest = time.monotonic() + 5, 0
        while time.monotonic() < until:
            longest = max(longest, broker.waiting(SYSTEM_QUEUE))
        assert 0 < longest <= 10
        beat.kill()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert broker.waiting(SYSTEM_QUEUE) <= 10
        second = deployment.beat()
        wait_until(lambda: broker.waiting(SYSTEM_QUEUE) == 0, what="the queue is drained")
        broker.restart()
        before = second.output.count("Task bridge.heartbeat[")
        # Celery waits longer from attempt to attempt, up to 30 s.
        wait_until(
            lambda: second.output.count("Task bridge.heartbeat[") > before + 4,
            timeout_s=120,
            what="ticks go on when RabbitMQ is back",
        )


class TestConfirms:
    ASK = """
import json
from bridge.celery import app
with app.producer_or_acquire() as producer:
    confirmed = producer.channel.connection.confirm_publish
print(json.dumps([app.conf.broker_transport_options, confirmed]))
"""

    def test_a_publish_is_confirmed(self, broker):
        """The connection gets options for RabbitMQ, and none for Redis."""
        env = clean_environment() | {
            "BRIDGE_STORE_URL": "redis://unused.invalid/0",
            "CELERY_BROKER_URL": broker.url,
        }
        asked = subprocess.run(
            [sys.executable, "-c", self.ASK], env=env, capture_output=True, text=True, check=False
        )
        assert asked.returncode == 0, asked.stderr
        options, confirmed = json.loads(asked.stdout)
        assert options == {"confirm_publish": True, "read_timeout": 5, "write_timeout": 5}
        assert confirmed is True


class TestKilledWorker:
    def test_its_messages_are_redelivered_at_once_and_do_not_run(self, fleet):
        """RabbitMQ redelivers before the lease ends; the fence refuses these deliveries.

        Once the lease has ended, the job with on_lost="retry" runs again on the other worker and
        the one with on_lost="fail" fails, both within the bound.
        """
        deployment = fleet("safe sleep")
        first = deployment.worker(concurrency=2)
        deployment.beat()
        deployment.poller()
        safe = deployment.execute(deployment.one_state("safe"), id="0", seconds=8)
        unsafe = deployment.execute(deployment.one_state("sleep"), id="1", seconds=60)
        wait_until(lambda: deployment.seen("safe") and deployment.seen("sleep"))
        second = deployment.worker(concurrency=2)
        assert [len(deployment.seen(kind)) for kind in ("safe", "sleep")] == [1, 1]
        killed_at = time.time()
        first.kill()
        dropped = "does not run: its claim is running"
        # "is running" is said only until the lease ends; later refusals have other words.
        wait_until(lambda: second.output.count(dropped) == 2, what="both are redelivered")
        assert deployment.ended(unsafe)["error"] == "Bridge.WorkerLost"
        assert time.time() - killed_at < BOUND_S
        assert deployment.ended(safe)["status"] == "SUCCEEDED"
        assert [run.attempt for run in deployment.seen("safe")] == ["1", "2"]
        again_at = float(deployment.seen("safe")[1].began)
        assert killed_at < again_at < killed_at + BOUND_S
        assert [run.attempt for run in deployment.seen("sleep")] == ["1"]
        all_claims_gone(deployment)
        assert second.alive


class TestBrokerAway:
    def test_no_job_is_lost_or_run_twice_when_it_is_killed(self, fleet, broker):
        """Waiting jobs run later, running ones end; redelivered messages do not run twice."""
        deployment = fleet("sleep")
        deployment.worker(concurrency=4)
        deployment.worker("--pool", "threads", concurrency=4)
        deployment.beat()
        deployment.poller()
        machine = deployment.one_state("sleep", HeartbeatSeconds=30)
        executions = [deployment.execute(machine, id=str(n), seconds=1) for n in range(30)]
        wait_until(lambda: len(deployment.seen("sleep")) >= 4)
        broker.kill()
        broker.start()
        assert len(deployment.seen("sleep")) < 30, (
            "no job was left for the restarted RabbitMQ to deliver"
        )
        assert statuses(deployment, executions) == {"SUCCEEDED": 30}
        assert runs_of_inputs(deployment, "sleep") == dict.fromkeys(range(30), 1)
        all_claims_gone(deployment)
        all_alive(deployment)

    def test_executions_that_start_while_it_is_away_succeed(self, fleet, broker):
        """Claims wait, and heartbeats are sent although no tick can be published."""
        deployment = fleet("echo")
        deployment.worker()
        deployment.beat()
        poller = deployment.poller()
        machine = deployment.one_state("echo", HeartbeatSeconds=5)
        assert statuses(deployment, [deployment.execute(machine, id="0")]) == {"SUCCEEDED": 1}
        broker.kill()
        away_until = time.monotonic() + AWAY_S
        executions = []
        while time.monotonic() < away_until:
            number = len(executions) + 1
            executions.append(deployment.execute(machine, id=str(number)))
            time.sleep(0.5)
        poller.says("is not dispatched yet")
        assert len(deployment.seen("echo")) == 1
        broker.start()
        assert statuses(deployment, executions) == {"SUCCEEDED": len(executions)}
        assert runs_of_inputs(deployment, "echo") == dict.fromkeys(range(len(executions) + 1), 1)
        all_claims_gone(deployment)
        all_alive(deployment)


class TestHalfOpen:
    def test_a_publish_that_is_never_confirmed_holds_up_nothing_else(self, fleet, broker):
        """Neither the poller nor later jobs wait for it."""
        with Proxy("127.0.0.1", broker.port) as proxy:
            deployment = fleet("echo")
            deployment.worker()
            deployment.beat()
            half_open = broker.url.replace(str(broker.port), str(proxy.port))
            poller = deployment.poller(CELERY_BROKER_URL=half_open)
            machine = deployment.one_state("echo")
            assert statuses(deployment, [deployment.execute(machine, id="0")]) == {"SUCCEEDED": 1}
            proxy.freeze()
            execution = deployment.execute(machine, id="1")
            poller.says("is not dispatched yet", timeout_s=45)
            # Recovery publishes it instead of the poller, through a healthy connection.
            assert statuses(deployment, [execution]) == {"SUCCEEDED": 1}
            proxy.heal()
            third = deployment.execute(machine, id="2")
            assert statuses(deployment, [third]) == {"SUCCEEDED": 1}
            assert runs_of_inputs(deployment, "echo") == dict.fromkeys(range(3), 1)


class TestQuorumQueues:
    def test_an_app_that_asks_for_quorum_queues_gets_them(self, fleet, broker):
        """A killed worker's jobs are redelivered from them as from classic queues.

        The setting task_default_queue_type concerns the queue "celery" alone: "bridge.system",
        like every other queue that is not declared, needs task_create_missing_queue_type.
        """
        deployment = fleet("echo safe")
        (deployment.folder / "quorum.py").write_text(
            "from bridge.celery import app\n"
            'app.conf.task_default_queue_type = "quorum"\n'
            'app.conf.task_create_missing_queue_type = "quorum"\n'
            "app.conf.worker_detect_quorum_queues = True\n"
        )
        first = deployment.worker(app="quorum", concurrency=2)
        beat = deployment.beat(app="quorum")
        poller = deployment.poller(app="quorum")
        machine = deployment.one_state("echo")
        executions = [deployment.execute(machine, id=str(n)) for n in range(20)]
        assert statuses(deployment, executions) == {"SUCCEEDED": 20}
        assert runs_of_inputs(deployment, "echo") == dict.fromkeys(range(20), 1)
        assert [broker.queue_type(name) for name in QUEUES] == ["quorum", "quorum"]
        safe = deployment.execute(deployment.one_state("safe"), id="20", seconds=2)
        wait_until(lambda: deployment.seen("safe"))
        first.kill()
        second = deployment.worker(app="quorum", concurrency=2)
        assert deployment.ended(safe)["status"] == "SUCCEEDED"
        assert [run.attempt for run in deployment.seen("safe")] == ["1", "2"]
        all_claims_gone(deployment)
        assert beat.alive
        assert poller.alive
        assert second.alive
