"""A job whose execution was stopped or has timed out is told to stop, and why."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from bridge.local.valkey import LocalValkey
from tests.acceptance.deployment import HERE as JOBS
from tests.acceptance.deployment import Deployment
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

HEARTBEAT_S, TICK_S, ASK_S, SLACK_S = 1.0, 0.5, 0.5, 5.0


@pytest.fixture(scope="module")
def without_worker(tmp_path_factory, local_stepfunctions):
    """A beat process and a poller; each test starts its own workers."""
    made = Deployment(
        tmp_path_factory.mktemp("deployment"),
        valkey=LocalValkey().start(),
        stepfunctions_url=local_stepfunctions.url,
        JOBS_ONLY="watch terminate echo",
    )
    try:
        made.create_activities()
        made.beat()
        made.poller()
        yield made
    finally:
        made.stop()


@pytest.fixture
def deployment(without_worker):
    """The deployment without workers; a test's own workers are killed when it ends."""
    shared = len(without_worker.processes)
    yield without_worker
    for worker in without_worker.processes[shared:]:
        worker.kill()
    del without_worker.processes[shared:]
    without_worker.seen_file.unlink(missing_ok=True)
    wait_until(
        lambda: not any("celery" in w["queues"] for w in without_worker.status()["workers"]),
        what="their leases have ended",
    )


def is_dead(pid: int) -> bool:
    """Whether the process has ended, even if its parent has not noticed yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def stopped(deployment, kind: str, **event) -> float:
    """Start an execution, stop it while its job runs; Unix time of the stop."""
    execution = deployment.execute(deployment.one_state(kind), id="x", **event)
    wait_until(lambda: deployment.seen(kind))
    deployment.sfn.stop_execution(executionArn=execution)
    return time.time()


class TestStopExecution:
    @pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
    def test_running_code_sees_that_it_is_cancelled(self, deployment, pool):
        """Within a heartbeat and a tick interval, in every pool; then its slot is free."""
        deployment.worker("--pool", pool, concurrency=1)
        since = stopped(deployment, "watch")
        (run,) = wait_until(lambda: deployment.seen("watched"))
        assert float(run.began) - since < HEARTBEAT_S + TICK_S + ASK_S + SLACK_S
        assert deployment.outcome("echo", id="e")[0] == "SUCCEEDED"
        wait_until(lambda: deployment.status()["totals"]["in_flight"] == 0)

    def test_a_checkpoint_ends_the_job_and_says_why(self, deployment):
        worker = deployment.worker(concurrency=1)
        stopped(deployment, "watch", checkpoint=True)
        worker.says("is cancelled: Step Functions says TaskTimedOut: its execution was stopped")
        assert deployment.outcome("echo", id="e")[0] == "SUCCEEDED"
        assert "Traceback" not in worker.output

    def test_a_job_that_asks_for_it_is_terminated(self, deployment):
        """With terminate_on_cancel its process ends; it is not retried, and the slot is free."""
        deployment.worker(concurrency=1)
        since = stopped(deployment, "terminate")
        (run,) = deployment.seen("terminate")
        wait_until(lambda: is_dead(int(run.pid)))
        assert time.time() - since < HEARTBEAT_S + TICK_S + SLACK_S
        assert deployment.outcome("echo", id="e")[0] == "SUCCEEDED"
        assert len(deployment.seen("terminate")) == 1

    def test_a_pool_that_cannot_terminate_says_so_at_start(self, deployment):
        worker = deployment.worker("--pool", "threads", concurrency=1)
        assert "terminate_on_cancel of task jobs.terminate has no effect" in worker.output

    def test_a_waiting_job_never_starts(self, deployment):
        worker = deployment.worker("--loglevel", "INFO", concurrency=1)
        stop = deployment.execute(deployment.one_state("watch"), id="1")
        wait_until(lambda: deployment.seen("watch"))
        waiting = deployment.execute(deployment.one_state("echo"), id="2")
        wait_until(lambda: deployment.status()["totals"]["queued"] == 1)
        deployment.sfn.stop_execution(executionArn=waiting)
        wait_until(lambda: deployment.status()["totals"]["in_flight"] == 1)
        deployment.sfn.stop_execution(executionArn=stop)
        assert deployment.outcome("echo", id="3")[0] == "SUCCEEDED"
        assert [run.id for run in deployment.seen("echo")] == ["3"]
        assert worker.alive


class TestHang:
    def test_a_hanging_job_with_manual_heartbeats_times_out(self, deploy):
        """The task stops calling heartbeat(): its token gets no more, although its worker lives."""
        deployment = deploy(JOBS_ONLY="manual", BRIDGE_HEARTBEAT_S="1")
        deployment.create_activities()
        deployment.worker()
        deployment.beat()
        deployment.poller()
        machine = deployment.one_state("manual", HeartbeatSeconds=3)
        healthy = deployment.execute(machine, id="h", alive=8, hangs=0)
        hanging = deployment.execute(machine, id="x", alive=4, hangs=60)
        assert deployment.ended(healthy)["status"] == "SUCCEEDED"
        # The local interpreter names a heartbeat time-out States.Timeout, AWS its own name.
        assert deployment.ended(hanging)["status"] in ("FAILED", "TIMED_OUT")


class TestHandBack:
    """When its soft shutdown ends before its jobs do, a worker hands them back at once."""

    @pytest.fixture
    def ending(self, deploy):
        made = deploy(
            JOBS_ONLY="safe sleep",
            BRIDGE_LEASE_S="60",
            BRIDGE_TASKS="jobs,armed",
            PYTHONPATH=f"{JOBS}:{Path(__file__).parent}",
            REMAP_SIGTERM="SIGQUIT",
            ARMED_CONF=json.dumps({"worker_soft_shutdown_timeout": 2.0}),
        )
        made.create_activities()
        made.beat()
        made.poller()
        return made

    def test_unfinished_jobs_run_again_or_fail_at_once(self, ending):
        first = ending.worker(concurrency=2)
        safe = ending.execute(ending.one_state("safe"), id="s", seconds=15)
        unsafe = ending.execute(ending.one_state("sleep"), id="u", seconds=60)
        wait_until(lambda: ending.seen("safe") and ending.seen("sleep"))
        ending.worker(concurrency=1)
        since = time.time()
        first.signal(signal.SIGTERM)
        assert ending.ended(unsafe)["error"] == "Bridge.WorkerLost"
        (_, again) = wait_until(lambda: len(runs := ending.seen("safe")) == 2 and runs)
        assert again.attempt == "2"
        assert float(again.began) - since < 20, "a lease is 60 s"
        assert ending.ended(safe)["status"] == "SUCCEEDED"
        assert first.wait(30) == os.EX_OK or first.popen.returncode == 1
        assert "hands back 2 unfinished jobs" in first.output

    def test_a_job_that_finishes_in_time_runs_once(self, ending):
        first = ending.worker(concurrency=1)
        execution = ending.execute(ending.one_state("safe"), id="s", seconds=1.5)
        wait_until(lambda: ending.seen("safe"))
        first.signal(signal.SIGTERM)
        assert ending.ended(execution)["status"] == "SUCCEEDED"
        first.wait(30)
        assert len(ending.seen("safe")) == 1
        assert [w for w in ending.status()["workers"] if "celery" in w["queues"]] == []
