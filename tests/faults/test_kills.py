"""kill -9, wherever it costs most: what must hold, and within which bound.

The deployments have leases of 3 s and a tick of 0.5 s. A bound is counted from the kill, plus
``SLACK_S`` for a busy machine: an import, a fork, a loop of the local Step Functions.
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

LEASE_S, SWEEP_S, SLACK_S = 3.0, 0.5, 5.0
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
    """A deployment whose processes can be armed."""

    def make(only: str, **env: str):
        deployment = deploy(JOBS_ONLY=only, ARMED_ONCE=str(tmp_path / "killed"), **{**ARMED, **env})
        deployment.create_activities()
        return deployment

    return make


def armed_worker(deployment, point: KillPoint):
    """A worker of one slot that dies as a whole when its child comes to this point."""
    return deployment.worker(concurrency=1, ARMED_POINT=point, ARMED_GROUP="1")


def killed(process) -> float:
    """Wait until the process has been killed at its point; when."""
    wait_until(lambda: not process.alive, what=f"{process.name} is killed", timeout_s=60)
    assert process.popen.returncode == -signal.SIGKILL, process.output
    return time.time()


def attempts(deployment, kind: str) -> list[str]:
    return [run.attempt for run in deployment.seen(kind)]


def started_at(deployment, kind: str, attempt: str) -> float:
    """Unix time at which this attempt began; waits for it."""

    def found():
        return [float(run.began) for run in deployment.seen(kind) if run.attempt == attempt]

    return wait_until(found, what=f"attempt {attempt} of {kind}")[0]


class TestWorker:
    def test_a_child_in_mid_job(self, armed):
        """Celery notices in up to 5 s; then it runs again, or fails, at once."""
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

    def test_a_whole_worker_with_eight_running_jobs(self, armed, local_stepfunctions):
        """Within lease and sweep all of them run again or have failed; nobody beats for them."""
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
            bound_s = LEASE_S + SWEEP_S + SLACK_S
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
                and call.at > clock + LEASE_S + SWEEP_S
            ]
            assert late == []

    def test_after_the_claim_is_marked_as_running(self, armed):
        """The user's code has not begun; that it may have is what counts."""
        deployment = armed("safe")
        first = armed_worker(deployment, KillPoint.AFTER_START_BEFORE_RUN)
        deployment.beat()
        deployment.poller()
        execution = deployment.execute(deployment.one_state("safe"), id="s", seconds=0)
        killed(first)
        deployment.worker()
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert attempts(deployment, "safe") == ["2"]

    def test_after_the_run_before_the_outcome(self, armed):
        deployment = armed("safe")
        first = armed_worker(deployment, KillPoint.AFTER_RUN_BEFORE_OUTCOME)
        deployment.beat()
        deployment.poller()
        execution = deployment.execute(deployment.one_state("safe"), id="s", seconds=0)
        killed(first)
        deployment.worker()
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert attempts(deployment, "safe") == ["1", "2"]

    def test_between_outcome_and_ack(self, armed):
        """The message comes again, and the job does not run again."""
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
        """A visibility timeout shorter than the job: Celery hands it out again and again."""
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

    def test_with_the_message_in_its_hands(self, armed):
        """Valkey has given the message away, the worker dies before it has read it."""
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
        # From the dispatch, one lease; then the next sweep, and the next if a lease came between.
        assert started_at(deployment, "echo", "1") - since < LEASE_S + 2 * SWEEP_S + 2 * SLACK_S
        assert len(deployment.seen("echo")) == 1

    def test_a_frozen_worker_that_comes_back_is_fenced(self, armed):
        """It was thought dead; its late outcome does not count, and its job is told."""
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
    def test_after_the_store_before_the_dispatch(self, armed):
        """Runs within one sweep, after the grace of two ticks that a living poller has."""
        deployment = armed("echo")
        deployment.worker()
        deployment.beat()
        poller = deployment.poller(ARMED_POINT=KillPoint.AFTER_STORE_BEFORE_DISPATCH)
        execution = deployment.execute(deployment.one_state("echo"), id="e")
        since = killed(poller)
        assert started_at(deployment, "echo", "1") - since < 3 * SWEEP_S + SLACK_S
        # Its reporter died with it: the beat process reports what is overdue.
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert len(deployment.seen("echo")) == 1

    def test_right_after_the_claim(self, armed):
        """The token is gone with the process: the state's HeartbeatSeconds and Retry bring it back;
        no other claim is touched.
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

    def test_between_the_dispatch_and_its_note(self, armed):
        """It is published twice, and runs once."""
        deployment = armed("sleep")
        deployment.worker()
        deployment.beat()
        poller = deployment.poller(ARMED_POINT=KillPoint.AFTER_DISPATCH_BEFORE_NOTE)
        execution = deployment.execute(deployment.one_state("sleep"), id="s", seconds=3)
        killed(poller)
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert attempts(deployment, "sleep") == ["1"]

    def test_between_report_and_note(self, armed, local_stepfunctions):
        """A heartbeat, or one more report, hears that the token is closed, and that is that."""
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
    def test_away_for_three_times_heartbeat_seconds(self, armed):
        """The poller's process beats in its stead: no execution times out."""
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
        poller.says("passes of heartbeat are begun elsewhere again")

    def test_the_poller_recovers_too(self, armed):
        """No beat process at all: a dead worker's job runs again within the same bound."""
        deployment = armed("safe")
        first = deployment.worker(concurrency=1)
        deployment.poller()
        execution = deployment.execute(deployment.one_state("safe"), id="s", seconds=8)
        wait_until(lambda: deployment.seen("safe"))
        second = deployment.worker(concurrency=1)  # up before the job ends, on a busy machine too
        since = time.time()
        first.kill()
        assert started_at(deployment, "safe", "2") - since < LEASE_S + 2 * SWEEP_S + SLACK_S
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert second.alive

    @pytest.mark.parametrize(
        "point", [KillPoint.AFTER_LOSS_BEFORE_DISPATCH, KillPoint.AFTER_DISPATCH_BEFORE_NOTE]
    )
    def test_in_the_middle_of_recovery(self, armed, point):
        """Somebody else goes on where it stood; the job runs once more, not twice."""
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
