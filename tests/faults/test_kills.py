"""kill -9 at the worst moments: what must hold, and within which time.

The deployments have leases of 3 s and a tick interval of 0.5 s. A time is counted from the kill;
``SLACK_S`` is added for a busy machine: an import, a fork, a loop of the local Step Functions.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
import redis

from bridge.support.killpoints import KillPoint
from tests.acceptance.deployment import HERE as JOBS
from tests.faults.http_proxy import HttpProxy
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

LEASE_S, TICK_S, SLACK_S = 3.0, 0.5, 5.0
VISIBILITY_S = 3
ARMED = {
    "BRIDGE_TASKS": "jobs,armed",
    "PYTHONPATH": f"{JOBS}:{Path(__file__).parent}",
}
REDELIVERS_SOON = json.dumps(
    {
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_S,
            "unacked_restore_interval": 1,
        }
    }
)


@pytest.fixture
def armed(deploy, tmp_path):
    """Make a deployment whose processes can be armed: see armed.py."""

    def make(only: str, **env: str):
        deployment = deploy(JOBS_ONLY=only, ARMED_ONCE=str(tmp_path / "killed"), **{**ARMED, **env})
        deployment.create_activities()
        return deployment

    return make


def armed_worker(deployment, point: KillPoint):
    """A worker with one slot; its process group is killed when its child reaches this point."""
    return deployment.worker(concurrency=1, ARMED_POINT=point, ARMED_GROUP="1")


def killed(process) -> float:
    """Wait until the process has been killed at its point; the Unix time."""
    wait_until(lambda: not process.alive, what=f"{process.name} is killed", timeout_s=60)
    assert process.popen.returncode == -signal.SIGKILL, process.output
    return time.time()


def attempts(deployment, kind: str) -> list[str]:
    return [run.attempt for run in deployment.seen(kind)]


def started_at(deployment, kind: str, attempt: str) -> float:
    """Wait until this attempt has begun; the Unix time at which it did."""

    def found():
        return [float(run.began) for run in deployment.seen(kind) if run.attempt == attempt]

    return wait_until(found, what=f"attempt {attempt} of {kind}")[0]


class TestWorker:
    def test_the_job_of_a_killed_child_runs_again_or_fails(self, armed):
        """Celery notices within 5 s; then the job runs again, or fails, at once."""
        deployment = armed("sleep safe")
        deployment.worker(concurrency=2)
        deployment.beat()
        deployment.poller()
        failing = deployment.execute(deployment.one_state("sleep"), id="f", seconds=60)
        again = deployment.execute(deployment.one_state("safe"), id="a", seconds=2)
        wait_until(lambda: deployment.seen("sleep") and deployment.seen("safe"))
        since = time.time()
        for kind in ("sleep", "safe"):
            os.kill(int(deployment.seen(kind)[0].pid), signal.SIGKILL)
        assert deployment.ended(failing)["error"] == "Bridge.WorkerLost"
        assert time.time() - since < 6 + SLACK_S
        assert started_at(deployment, "safe", "2") - since < 6 + SLACK_S
        assert deployment.ended(again)["status"] == "SUCCEEDED"

    def test_all_jobs_of_a_killed_worker_run_again_or_fail(self, armed, local_stepfunctions):
        """They do within a lease and a recovery pass; no heartbeat is sent for them after that."""
        host, port = local_stepfunctions.url.removeprefix("http://").split(":")
        with HttpProxy(host, int(port)) as proxy:
            deployment = armed("sleep safe", AWS_ENDPOINT_URL_SFN=proxy.url())
            worker = deployment.worker(concurrency=8)
            deployment.beat()
            deployment.poller()
            failing, safe = (deployment.one_state(kind) for kind in ("sleep", "safe"))
            runs = [deployment.execute(failing, id=str(n), seconds=60) for n in range(4)]
            again = [deployment.execute(safe, id=str(n), seconds=3) for n in range(4)]
            wait_until(lambda: len(deployment.seen("sleep") + deployment.seen("safe")) == 8)
            dead = {run.claim_id for run in deployment.seen("sleep")}
            since, clock = time.time(), time.monotonic()
            worker.kill()
            deployment.worker(concurrency=8)
            for execution in runs:
                assert deployment.ended(execution)["error"] == "Bridge.WorkerLost"
            bound_s = LEASE_S + TICK_S + SLACK_S
            assert time.time() - since < bound_s
            wait_until(lambda: attempts(deployment, "safe").count("2") == 4)
            last = max(float(run.began) for run in deployment.seen("safe"))
            assert last - since < bound_s + SLACK_S  # the new worker had to start first
            for execution in again:
                assert deployment.ended(execution)["status"] == "SUCCEEDED"
            late = [
                call
                for call in proxy.calls
                if call.claim_id in dead
                and call.operation == "SendTaskHeartbeat"
                and call.at > clock + LEASE_S + TICK_S
            ]
            assert late == []

    def test_killed_after_the_claim_is_marked_as_running(self, armed):
        """The user's code has not begun, but it may have: this was an attempt."""
        deployment = armed("safe")
        first = armed_worker(deployment, KillPoint.AFTER_START_BEFORE_RUN)
        deployment.beat()
        deployment.poller()
        execution = deployment.execute(deployment.one_state("safe"), id="s", seconds=0)
        killed(first)
        deployment.worker()
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert attempts(deployment, "safe") == ["2"]

    def test_killed_after_the_run_before_the_outcome_is_stored(self, armed):
        deployment = armed("safe")
        first = armed_worker(deployment, KillPoint.AFTER_RUN_BEFORE_OUTCOME)
        deployment.beat()
        deployment.poller()
        execution = deployment.execute(deployment.one_state("safe"), id="s", seconds=0)
        killed(first)
        deployment.worker()
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert attempts(deployment, "safe") == ["1", "2"]

    def test_killed_between_outcome_and_ack(self, armed):
        """The message is delivered again; the job does not run again."""
        deployment = armed("safe", ARMED_CONF=REDELIVERS_SOON)
        first = armed_worker(deployment, KillPoint.AFTER_OUTCOME_BEFORE_ACK)
        deployment.beat()
        deployment.poller()
        execution = deployment.execute(deployment.one_state("safe"), id="s", seconds=3)
        (run,) = wait_until(lambda: deployment.seen("safe"))
        with redis.Redis.from_url(deployment.valkey.url, decode_responses=True) as broker:
            # The worker notes deliveries in batches: before that the broker would not redeliver it.
            wait_until(lambda: any(run.claim_id in kept for kept in broker.hvals("unacked")))
        killed(first)
        second = deployment.worker("--loglevel", "INFO")
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        second.says("does not run: its claim is", timeout_s=VISIBILITY_S + 20)
        assert attempts(deployment, "safe") == ["1"]

    def test_a_job_delivered_twice_runs_once(self, armed):
        """The visibility timeout is shorter than the job, so Celery delivers it several times."""
        deployment = armed("sleep", ARMED_CONF=REDELIVERS_SOON)
        workers = [deployment.worker("--loglevel", "INFO") for _ in range(2)]
        deployment.beat()
        deployment.poller()
        machine = deployment.one_state("sleep")
        execution = deployment.execute(machine, id="s", seconds=4 * VISIBILITY_S)
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        refused = [worker.output.count("does not run: its claim is") for worker in workers]
        assert sum(refused) >= 1, "it was never delivered twice"
        assert attempts(deployment, "sleep") == ["1"]

    def test_killed_before_it_reads_a_message_that_the_broker_has_sent(self, armed):
        """Valkey has removed the message from the queue; recovery publishes the job again."""
        deployment = armed("echo")
        first = deployment.worker(concurrency=1)
        deployment.beat()
        deployment.poller()
        wait_until(lambda: deployment.status()["totals"]["polls"] == 1)
        first.signal(signal.SIGSTOP)
        execution = deployment.execute(deployment.one_state("echo"), id="m")
        wait_until(lambda: deployment.status()["totals"]["queued"] == 1)
        since = time.time()
        first.kill()
        deployment.worker(concurrency=1)
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        # From the dispatch, one lease; then the next recovery pass, or the one after it.
        assert started_at(deployment, "echo", "1") - since < LEASE_S + 2 * TICK_S + 2 * SLACK_S
        assert len(deployment.seen("echo")) == 1

    def test_a_frozen_worker_that_continues_is_fenced(self, armed):
        """It was taken for dead: its late outcome does not count, and its job is cancelled."""
        deployment = armed("safe")
        first = deployment.worker(concurrency=1)
        deployment.beat()
        deployment.poller()
        execution = deployment.execute(deployment.one_state("safe"), id="s", seconds=6)
        wait_until(lambda: deployment.seen("safe"))
        os.killpg(first.popen.pid, signal.SIGSTOP)
        deployment.worker(concurrency=1)
        started_at(deployment, "safe", "2")
        os.killpg(first.popen.pid, signal.SIGCONT)
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert attempts(deployment, "safe") == ["1", "2"]
        first.says("the lease of worker")


class TestPoller:
    def test_killed_after_the_store_before_the_dispatch(self, armed):
        """Recovery publishes the job after two tick intervals, which a living poller would have."""
        deployment = armed("echo")
        deployment.worker()
        deployment.beat()
        poller = deployment.poller(ARMED_POINT=KillPoint.AFTER_STORE_BEFORE_DISPATCH)
        execution = deployment.execute(deployment.one_state("echo"), id="e")
        since = killed(poller)
        assert started_at(deployment, "echo", "1") - since < 3 * TICK_S + SLACK_S
        # Its reporter was killed with it: the beat process sends overdue reports.
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert len(deployment.seen("echo")) == 1

    def test_killed_before_the_claim_is_stored(self, armed):
        """The token is lost with the process; the state's HeartbeatSeconds and Retry start a new
        task. No other claim is affected.
        """
        deployment = armed("sleep echo")
        deployment.worker()
        deployment.beat()
        first = deployment.poller(ARMED_POINT=KillPoint.BEFORE_STORE, JOBS_ONLY="echo")
        other = deployment.poller(JOBS_ONLY="sleep")
        running = deployment.execute(
            deployment.one_state("sleep", HeartbeatSeconds=3), id="other", seconds=8
        )
        wait_until(lambda: deployment.seen("sleep"))
        retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 2}]
        machine = deployment.one_state("echo", HeartbeatSeconds=3, Retry=retry)
        execution = deployment.execute(machine, id="e")
        killed(first)
        deployment.poller(JOBS_ONLY="echo")
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert len(deployment.seen("echo")) == 1
        assert deployment.ended(running)["status"] == "SUCCEEDED"
        assert len(deployment.seen("sleep")) == 1
        assert other.alive

    def test_killed_between_the_dispatch_and_its_note(self, armed):
        """The job is published twice, and runs once."""
        deployment = armed("sleep")
        deployment.worker()
        deployment.beat()
        poller = deployment.poller(ARMED_POINT=KillPoint.AFTER_DISPATCH_BEFORE_NOTE)
        execution = deployment.execute(deployment.one_state("sleep"), id="s", seconds=3)
        killed(poller)
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert attempts(deployment, "sleep") == ["1"]

    def test_killed_between_the_report_and_its_note(self, armed, local_stepfunctions):
        """The next heartbeat or report learns that the token is closed; that closes the claim."""
        host, port = local_stepfunctions.url.removeprefix("http://").split(":")
        with HttpProxy(host, int(port)) as proxy:
            deployment = armed("echo", AWS_ENDPOINT_URL_SFN=proxy.url())
            deployment.worker()
            deployment.beat()
            poller = deployment.poller(ARMED_POINT=KillPoint.AFTER_REPORT_BEFORE_NOTE)
            execution = deployment.execute(deployment.one_state("echo"), id="e")
            killed(poller)
            assert deployment.ended(execution)["status"] == "SUCCEEDED"
            # The dead reporter's hold of the outcome ends after a minute.
            wait_until(lambda: deployment.status()["totals"]["in_flight"] == 0, timeout_s=80)
            reports = [c for c in proxy.calls if c.operation == "SendTaskSuccess"]
            assert [call.status for call in reports] in ([200], [200, 400])
            assert len(deployment.seen("echo")) == 1


class TestBeat:
    def test_killed_for_three_times_heartbeat_seconds(self, armed):
        """The poller sends heartbeats meanwhile, so no execution times out."""
        deployment = armed("sleep")
        deployment.worker()
        beat = deployment.beat()
        poller = deployment.poller()
        machine = deployment.one_state("sleep", HeartbeatSeconds=3)
        executions = [deployment.execute(machine, id=str(n), seconds=11) for n in range(3)]
        wait_until(lambda: len(deployment.seen("sleep")) == 3)
        beat.kill()
        for execution in executions:
            assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert "it is done here" in poller.output
        deployment.beat()
        poller.says("a beat process begins passes of heartbeat again")

    def test_the_poller_recovers_too(self, armed):
        """Without any beat process a dead worker's job runs again within the same time."""
        deployment = armed("safe")
        first = deployment.worker(concurrency=1)
        deployment.poller()
        execution = deployment.execute(deployment.one_state("safe"), id="s", seconds=8)
        wait_until(lambda: deployment.seen("safe"))
        second = deployment.worker(concurrency=1)  # ready before the job ends
        since = time.time()
        first.kill()
        assert started_at(deployment, "safe", "2") - since < LEASE_S + 2 * TICK_S + SLACK_S
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert second.alive

    @pytest.mark.parametrize(
        "point", [KillPoint.AFTER_LOSS_BEFORE_DISPATCH, KillPoint.AFTER_DISPATCH_BEFORE_NOTE]
    )
    def test_killed_in_the_middle_of_recovery(self, armed, point):
        """Another process continues where it stopped; the job runs once more, not twice."""
        deployment = armed("safe")
        first = deployment.worker(concurrency=1)
        deployment.poller()
        execution = deployment.execute(deployment.one_state("safe"), id="s", seconds=2)
        wait_until(lambda: deployment.seen("safe"))
        first.kill()
        beat = deployment.beat(ARMED_POINT=point, ARMED_GROUP="1")
        deployment.worker(concurrency=1)
        if point is KillPoint.AFTER_LOSS_BEFORE_DISPATCH:
            killed(beat)
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert attempts(deployment, "safe") == ["1", "2"]
