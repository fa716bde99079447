"""Processes are drained or killed: nothing is lost, and the log says what is left."""

from __future__ import annotations

import os
import signal

import pytest

from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

# Prints how many aiohttp sessions are open when the process ends.
LAST_WORDS = """
import atexit, gc, os

@atexit.register
def say():
    found = [each for each in gc.get_objects() if type(each).__name__ == "ClientSession"]
    os.write(1, f"open sessions: {sum(not each.closed for each in found)}".encode())
"""


class TestDrain:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_task_that_an_open_poll_returns_is_dispatched(self, deploy, number):
        """The poller waits for its open poll while it drains; a task that comes is not lost."""
        deployment = deploy(JOBS_ONLY="echo")
        deployment.create_activities()
        deployment.worker()
        deployment.beat()
        poller = deployment.poller()
        wait_until(lambda: deployment.status()["totals"]["polls"] == 1)
        poller.signal(number)
        poller.says("draining")
        execution = deployment.execute(deployment.one_state("echo"), id="late")
        assert poller.wait(60) == 0
        assert "is drained" in poller.output
        # Its reporter has ended: the beat process sends overdue reports.
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert len(deployment.seen("echo")) == 1
        assert deployment.status()["pollers"] == []

    def test_a_second_signal_ends_the_poller_at_once(self, deploy):
        deployment = deploy(JOBS_ONLY="echo")
        deployment.create_activities()
        deployment.worker()
        poller = deployment.poller()
        wait_until(lambda: deployment.status()["totals"]["polls"] == 1)
        poller.signal(signal.SIGTERM)
        poller.says("draining")
        poller.signal(signal.SIGTERM)
        assert poller.wait(15) == 1
        assert "It leaves open polls: 1" in poller.output

    def test_a_worker_finishes_what_it_runs(self, deploy):
        """Warm shutdown: it renews its lease until its last job has ended; no claim is made."""
        deployment = deploy(JOBS_ONLY="sleep")
        deployment.create_activities()
        worker = deployment.worker()
        deployment.beat()
        deployment.poller()
        machine = deployment.one_state("sleep", HeartbeatSeconds=3)
        # Longer than lease and HeartbeatSeconds.
        execution = deployment.execute(machine, id="s", seconds=6)
        wait_until(lambda: deployment.seen("sleep"))
        worker.signal(signal.SIGTERM)
        waiting = deployment.execute(machine, id="w", seconds=0)
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        assert worker.wait(30) == 0
        assert len(deployment.seen("sleep")) == 1
        deployment.worker()
        assert deployment.ended(waiting)["status"] == "SUCCEEDED"

    def test_a_beat_process_closes_its_connections(self, deploy):
        """aiohttp warns of an open session only if it is collected, so the test counts them."""
        deployment = deploy(JOBS_ONLY="sleep", BRIDGE_TASKS="jobs,last_words")
        (deployment.folder / "last_words.py").write_text(LAST_WORDS)
        deployment.create_activities()
        beat = deployment.beat()
        deployment.worker()
        deployment.poller()
        execution = deployment.execute(deployment.one_state("sleep"), id="s", seconds=5)
        beat.says("'sent': 1")
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        beat.signal(signal.SIGTERM)
        assert beat.wait() == 0
        assert "open sessions: 0" in beat.output
        assert "Unclosed" not in beat.output
        assert "Traceback" not in beat.output


class TestKilled:
    def test_a_dead_worker_fails_its_jobs_by_name(self, deploy):
        """With on_lost="fail" they fail as Bridge.WorkerLost; test_kills.py tests how soon."""
        deployment = deploy(JOBS_ONLY="sleep")
        deployment.create_activities()
        worker = deployment.worker()
        deployment.beat()
        deployment.poller()
        execution = deployment.execute(deployment.one_state("sleep"), id="s", seconds=60)
        wait_until(lambda: deployment.seen("sleep"))
        worker.kill()
        ended = deployment.ended(execution)
        assert (ended["status"], ended["error"]) == ("FAILED", "Bridge.WorkerLost")

    def test_a_dead_worker_is_lost_in_the_status(self, deploy):
        """With neither beat nor poller, `status` shows its claim as lost, and exits with 1."""
        deployment = deploy(JOBS_ONLY="sleep")
        deployment.create_activities()
        worker = deployment.worker()
        poller = deployment.poller()
        deployment.execute(deployment.one_state("sleep"), id="s", seconds=60)
        wait_until(lambda: deployment.seen("sleep"))
        poller.kill()
        worker.kill()
        wait_until(lambda: deployment.status()["totals"]["lost"] == 1)
        shown = deployment.run("status")
        assert shown.returncode == 1
        assert "1 claims on workers that died" in shown.stdout

    def test_a_safe_job_runs_again_inside_its_claim(self, deploy):
        """With on_lost="retry" another worker runs a new attempt of the same claim."""
        deployment = deploy(JOBS_ONLY="safe")
        deployment.create_activities()
        first = deployment.worker(concurrency=1)
        deployment.beat()
        deployment.poller()
        execution = deployment.execute(deployment.one_state("safe"), id="s", seconds=2)
        wait_until(lambda: deployment.seen("safe"))
        first.kill()
        deployment.worker()
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
        first_run, second_run = deployment.seen("safe")
        assert first_run.claim_id == second_run.claim_id
        assert (first_run.attempt, second_run.attempt) == ("1", "2")
        assert not deployment.happened(execution, "ActivityFailed")

    def test_the_jobs_of_a_killed_child_fail_or_run_again(self, deploy):
        deployment = deploy(JOBS_ONLY="sleep safe")
        deployment.create_activities()
        deployment.worker(concurrency=2)
        deployment.beat()
        deployment.poller()
        failing = deployment.execute(deployment.one_state("sleep"), id="f", seconds=60)
        again = deployment.execute(deployment.one_state("safe"), id="a", seconds=2)
        wait_until(lambda: deployment.seen("sleep") and deployment.seen("safe"))
        for kind in ("sleep", "safe"):
            os.kill(int(deployment.seen(kind)[0].pid), signal.SIGKILL)
        assert deployment.ended(failing)["error"] == "Bridge.WorkerLost"
        assert deployment.ended(again)["status"] == "SUCCEEDED"
        assert [run.attempt for run in deployment.seen("safe")] == ["1", "2"]

    def test_a_job_that_kills_its_worker_each_time_fails_in_the_end(self, deploy):
        """It runs max_attempts times, then fails by name; the next job succeeds."""
        deployment = deploy(JOBS_ONLY="poison echo")
        deployment.create_activities()
        deployment.worker(concurrency=2)
        deployment.beat()
        deployment.poller()
        assert deployment.outcome("poison", id="p")[1] == "Bridge.WorkerLost"
        assert [run.attempt for run in deployment.seen("poison")] == ["1", "2"]
        assert deployment.outcome("echo", id="e")[0] == "SUCCEEDED"

    def test_a_dead_pollers_outcomes_are_reported_by_the_beat_process(self, deploy):
        deployment = deploy(JOBS_ONLY="sleep")
        deployment.create_activities()
        deployment.worker()
        deployment.beat()
        poller = deployment.poller()
        execution = deployment.execute(deployment.one_state("sleep"), id="s", seconds=2)
        wait_until(lambda: deployment.seen("sleep"))
        poller.kill()
        assert deployment.ended(execution)["status"] == "SUCCEEDED"


class TestStopped:
    def test_the_claim_of_a_stopped_execution_is_closed(self, deploy):
        """The next heartbeat is refused, which closes the claim; then its slot is free."""
        deployment = deploy(JOBS_ONLY="sleep echo")
        deployment.create_activities()
        deployment.worker()
        beat = deployment.beat()
        deployment.poller()
        execution = deployment.execute(deployment.one_state("sleep"), id="s", seconds=5)
        wait_until(lambda: deployment.seen("sleep"))
        deployment.sfn.stop_execution(executionArn=execution)
        beat.says("is closed: TaskTimedOut")
        wait_until(lambda: deployment.status()["totals"]["in_flight"] == 0)
        assert deployment.outcome("echo", id="e")[0] == "SUCCEEDED"
