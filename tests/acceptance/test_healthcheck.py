"""``python -m bridge.healthcheck`` against real processes: does a restart help?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from bridge.healthcheck.celery_process import (
    children_of,
    find_process,
)
from bridge.local.child_processes import free_port
from tests.acceptance.deployment import CELERY, Deployment, Process
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

LEASE_S = 3.0  # of the deployments of tests


def check(deployment: Deployment, process: Process | int, *args: str) -> tuple[int, str]:
    """Exit status and text of the command that the image runs, for a process that is not PID 1."""
    pid = process if isinstance(process, int) else process.popen.pid
    done = subprocess.run(
        [sys.executable, "-m", "bridge.healthcheck", *args, "--pid", str(pid)],
        env=deployment.env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


def wait_healthy(deployment: Deployment, process: Process, *args: str) -> None:
    wait_until(
        lambda: check(deployment, process, *args)[0] == 0 or time.sleep(0.2),
        what=f"{process.name} is healthy",
    )


def wait_unhealthy(deployment: Deployment, process: Process, reason: str, within_s: float) -> None:
    def unhealthy() -> bool:
        status, said = check(deployment, process)
        return status == 1 and reason in said

    wait_until(unhealthy, timeout_s=within_s, what=f"{process.name} is unhealthy: {reason}")


@pytest.fixture
def deployment(deploy) -> Deployment:
    made = deploy(JOBS_ONLY="echo")
    made.create_activities()
    return made


def flower(deployment: Deployment, *args: str, **env: str) -> Process:
    return deployment.start("flower", "flower", "--address=127.0.0.1", *args, **env)


class TestProcesses:
    def test_every_process_is_known_by_its_command_line_and_healthy(self, deployment):
        port = free_port()
        everything = [
            (deployment.worker(), "lease for"),
            (deployment.poller(), "lease for"),
            (deployment.beat(), "the last pass began"),
            (flower(deployment, f"--port={port}"), f"Flower answers at 127.0.0.1:{port}"),
        ]
        for process, reason in everything:
            wait_healthy(deployment, process)
            status, said = check(deployment, process)
            assert (status, said.partition(":")[0]) == (0, "healthy")
            assert reason in said

    @pytest.mark.parametrize("kind", ["poller", "worker"])
    def test_one_that_hangs_fails_within_its_lease(self, deployment, kind):
        process = getattr(deployment, kind)()
        wait_healthy(deployment, process)
        process.signal(signal.SIGSTOP)
        try:
            wait_unhealthy(deployment, process, f"this {kind}'s lease has ended", LEASE_S + 5)
        finally:
            process.signal(signal.SIGCONT)
        wait_healthy(deployment, process)

    @pytest.mark.parametrize("kind", ["poller", "worker"])
    def test_one_that_was_killed_fails_at_once(self, deployment, kind):
        process = getattr(deployment, kind)()
        wait_healthy(deployment, process)
        process.kill()
        assert check(deployment, process) == (
            1,
            f"unhealthy: process {process.popen.pid} has ended",
        )

    def test_a_poller_that_drains_is_healthy(self, deployment):
        """A restart would lose the tasks that its open polls bring."""
        deployment.beat()
        poller = deployment.poller()
        wait_healthy(deployment, poller)
        deployment.worker()
        wait_until(lambda: deployment.status()["totals"]["polls"] == 1)
        poller.signal(signal.SIGTERM)
        poller.says("draining")
        time.sleep(LEASE_S + 1)
        assert poller.alive
        assert check(deployment, poller)[0] == 0

    def test_a_beat_without_its_ticking_child_fails_though_its_worker_lives(self, deployment):
        beat = deployment.beat()
        wait_healthy(deployment, beat)
        (ticking,) = children_of(beat.popen.pid)
        os.kill(ticking, signal.SIGKILL)
        wait_unhealthy(deployment, beat, "the process that ticks has ended", 5)
        assert beat.alive

    def test_a_beat_without_a_worker_is_not_judged(self, deployment):
        process = deployment.start("ticker", "beat", "--loglevel", "INFO")
        process.says("beat: Starting")
        assert check(deployment, process) == (
            0,
            "not known: a beat without a worker renews no lease",
        )

    def test_a_flower_that_hangs_fails(self, deployment):
        process = flower(deployment, f"--port={free_port()}")
        wait_healthy(deployment, process)
        process.signal(signal.SIGSTOP)
        wait_unhealthy(deployment, process, "Flower does not answer", 5)

    def test_flower_with_a_password_and_a_prefix_by_its_variables(self, deployment):
        port = str(free_port())
        env = {"FLOWER_PORT": port, "FLOWER_URL_PREFIX": "watch"}
        process = flower(deployment, FLOWER_BASIC_AUTH="me:secret", **env)
        deployment.env |= env
        wait_healthy(deployment, process)


class TestStore:
    def test_a_store_that_is_away_is_no_fault_of_the_process(self, deployment):
        """Otherwise a failover of Redis would restart every worker and lose its jobs."""
        worker = deployment.worker()
        wait_healthy(deployment, worker)
        deployment.valkey.pause()
        try:
            began = time.monotonic()
            status, said = check(deployment, worker)
            assert time.monotonic() - began < 10, "the time-out of the image's health check"
            assert (status, said.partition(":")[0]) == (0, "not known")
        finally:
            deployment.valkey.resume()
        wait_healthy(deployment, worker)
        deployment.valkey.kill()
        status, said = check(deployment, worker)
        assert (status, said.partition(":")[0]) == (0, "not known")

    def test_a_name_that_does_not_resolve_in_time_is_not_known(self, deployment, tmp_path):
        (tmp_path / "sitecustomize.py").write_text(
            "import socket, time\nsocket.getaddrinfo = lambda *a, **k: time.sleep(60)\n"
        )
        deployment.env |= {
            "PYTHONPATH": str(tmp_path),
            "CELERY_BROKER_URL": "redis://redis.example:6379/0",
        }
        began = time.monotonic()
        status, said = check(deployment, os.getpid(), "worker")
        assert time.monotonic() - began < 10
        assert (status, said) == (0, "not known: no answer within 6 s")

    def test_a_setting_that_is_impossible_is_a_fault(self, deployment):
        deployment.env["BRIDGE_LEASE_S"] = "none"
        status, said = check(deployment, os.getpid(), "worker")
        assert status == 1
        assert "BRIDGE_LEASE_S" in said

    def test_neither_the_app_nor_celery_nor_aws_is_loaded(self, deployment):
        worker = deployment.worker()
        wait_healthy(deployment, worker)
        done = subprocess.run(
            [
                sys.executable,
                "-X",
                "importtime",
                "-m",
                "bridge.healthcheck",
                "--pid",
                str(worker.popen.pid),
            ],
            env=deployment.env,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.stdout.startswith("healthy")
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "bridge.store.health" in loaded
        heavy = ("celery", "bridge.celery", "jobs", "aiohttp", "botocore", "kombu")
        assert loaded.isdisjoint(heavy)


class TestFinding:
    def test_below_a_shell_or_an_init(self, deployment):
        name = f"sh-{deployment.prefix}@%h"
        args = f"{CELERY} -A bridge worker --without-mingle --hostname {name} --concurrency 1; true"
        with subprocess.Popen(
            ["sh", "-c", args],
            env=deployment.env,
            cwd=deployment.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as shell:
            try:
                wait_until(lambda: find_process(shell.pid).role == "worker")
                assert find_process(shell.pid).pid != shell.pid
                wait_until(lambda: check(deployment, shell.pid)[0] == 0)
            finally:
                os.killpg(shell.pid, signal.SIGKILL)

    def test_another_command_is_not_judged(self, deployment):
        assert check(deployment, os.getpid()) == (
            0,
            "not known: this is no poller, worker, beat or Flower",
        )
