"""The task token is in Redis and in calls to AWS, and nowhere else."""

from __future__ import annotations

import re
import threading
import urllib.request
from pathlib import Path

import pytest
import redis

from bridge.local.child_processes import free_port, listens
from tests.acceptance.deployment import Deployment
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance


class Monitor:
    """Records every command that Valkey gets, and every one that a script runs."""

    def __init__(self, url: str) -> None:
        self.lines: list[str] = []
        # redis-py 8 closes a silent connection after 5 s by default.
        self._client = redis.Redis.from_url(url, socket_timeout=None)
        self._ready = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        assert self._ready.wait(5)

    def _listen(self) -> None:
        try:
            with self._client.monitor() as monitor:
                self._ready.set()
                for command in monitor.listen():
                    self.lines.append(f"{command['client_type']} {command['command']}")
        except (redis.exceptions.ConnectionError, OSError):
            pass  # the test has ended, and its server with it

    def tokens(self, prefix: str) -> set[str]:
        start = f"SET {{{prefix}}}:task:"
        return {
            line.split(" ")[3].partition(r"\n")[0]
            for line in self.lines
            if line.partition(" ")[2].startswith(start)
        }


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def start_flower(deployment: Deployment) -> str:
    port = free_port()
    deployment.start(
        "flower",
        "flower",
        "--address=127.0.0.1",
        f"--port={port}",
        "--logging=debug",
        FLOWER_UNAUTHENTICATED_API="1",
    )
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: listens(port), what="Flower listens")
    wait_until(lambda: "@" in page(f"{url}/workers"), what="Flower knows the worker")
    return url


def test_no_token_leaves_redis_except_to_aws(deploy):
    """No log line, Celery message, event or Flower page holds a task token."""
    deployment = deploy(JOBS_ONLY="echo endings retry sleep")
    monitor = Monitor(deployment.valkey.url)
    deployment.create_activities()
    deployment.worker("--loglevel", "DEBUG", "-E")
    deployment.beat("--loglevel", "DEBUG")
    deployment.poller("--loglevel", "DEBUG")
    flower = start_flower(deployment)
    running = deployment.execute(deployment.one_state("sleep"), id="s", seconds=4)
    assert deployment.outcome("echo", id="visible-input")[0] == "SUCCEEDED"
    assert deployment.outcome("endings", id="x", how="exception")[0] == "FAILED"
    assert deployment.outcome("endings", id="n", how="nan")[0] == "FAILED"
    assert deployment.outcome("retry", id="r", failures=1)[0] == "SUCCEEDED"
    # A token that is closed while its job runs: only then does an error of AWS contain it.
    deployment.sfn.stop_execution(executionArn=running)
    wait_until(lambda: deployment.status()["totals"]["in_flight"] == 0)

    # The monitor may read a little behind.
    wait_until(lambda: len(monitor.tokens(deployment.prefix)) == 5, what="five tokens are seen")
    tokens = monitor.tokens(deployment.prefix)
    wait_until(lambda: "visible-input" in page(f"{flower}/api/tasks"), what="Flower shows the task")
    pages = [page(flower + path) for path in ("/workers", "/tasks", "/api/tasks", "/metrics")]
    pages += [page(f"{flower}/task/{job}") for job in jobs_of(deployment)]
    logs = deployment.output
    assert "SendTaskSuccess" in logs or "visible-input" in logs  # the logs do contain details
    root = f"{{{deployment.prefix}}}"
    for token in tokens:
        assert token not in logs
        assert not any(token in text for text in pages)
        for line in monitor.lines:
            if token in line:
                kind, _, command = line.partition(" ")
                by_script = kind == "lua" and f"{root}:task:" in command
                # EVAL: a pipeline sends scripts so to a server that does not have them yet.
                assert by_script or command.startswith(("EVALSHA ", "EVAL ")), line[:80]


def rights_of(user: str, prefix: str) -> list[str]:
    """The arguments of ACL SETUSER in docs/howto/secure.md, beginning with the user's name."""
    text = (Path(__file__).parents[2] / "docs/howto/secure.md").read_text()
    (rights,) = re.findall(rf"^ACL SETUSER ({user} .*?)^```", text, re.DOTALL | re.MULTILINE)
    return rights.replace("{bridge}", f"{{{prefix}}}").split()


def test_a_worker_does_its_jobs_without_the_right_to_read_tokens(deploy):
    deployment = deploy(JOBS_ONLY="echo endings poison retry sleep")
    url = deployment.valkey.url.replace("redis://", "redis://worker:s3cret@")
    with redis.Redis.from_url(deployment.valkey.url) as admin:
        admin.execute_command("ACL SETUSER", *rights_of("worker", deployment.prefix))
        deployment.create_activities()
        worker = deployment.worker(CELERY_BROKER_URL=url)
        admin.execute_command("ACL SETUSER", *rights_of("poller", deployment.prefix))
        others = {"CELERY_BROKER_URL": url.replace("//worker:", "//poller:")}
        deployment.beat(**others)
        deployment.poller(**others)
        assert deployment.outcome("echo", id="e")[0] == "SUCCEEDED"
        assert "refuses BLMPOP" not in worker.output
        assert deployment.outcome("endings", id="x", how="exception")[0] == "FAILED"
        assert deployment.outcome("retry", id="r", failures=1)[0] == "SUCCEEDED"
        lost = deployment.outcome("poison", id="p")
        assert lost[:2] == ("FAILED", "Bridge.WorkerLost")

        deployment.execute(deployment.one_state("sleep"), id="s", seconds=30)
        wait_until(lambda: deployment.seen("sleep"), what="a claim is in flight")
        (key,) = admin.keys("*:task:*")
        assert admin.get(key).count(b"\n") == 1
    with redis.Redis.from_url(url) as worker:
        for read in (
            lambda: worker.get(key),
            lambda: worker.eval("return redis.call('GET', ARGV[1])", 0, key),
        ):
            with pytest.raises(redis.exceptions.RedisError, match=r"(?i)NOPERM|permission|access"):
                read()


def jobs_of(deployment: Deployment) -> list[str]:
    runs = [run for kind in ("echo", "endings", "retry", "sleep") for run in deployment.seen(kind)]
    return sorted({f"bridge-{run.claim_id}-{run.attempt}" for run in runs})
