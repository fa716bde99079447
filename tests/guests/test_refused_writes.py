"""Redis, as broker and claim store, refuses writes for ten seconds under load."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import redis
from celery import Celery

from tests.acceptance.deployment import Deployment
from tests.refused_writes import WAYS
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(140)]

REFUSED_S = 10.0
ORDINARY = 40

TASKS = """
import os, time
from pathlib import Path
from celery import shared_task

def note(kind, event):
    with Path(os.environ["JOBS_SEEN"]).open("a") as seen:
        seen.write(f"{kind} {event}\\n")

@shared_task(activity=os.environ["JOBS_PREFIX"] + "-echo", heartbeat=1)
def echo(event):
    note("echo", event["id"])
    time.sleep(0.1)
    return event

@shared_task(name="ordinary")
def ordinary(number):
    note("ordinary", number)
    time.sleep(0.5)
"""


class Load:
    """Starts five executions a second, in a thread."""

    def __init__(self, deployment: Deployment, machine: str) -> None:
        self.executions: list[str] = []
        self._deployment, self._machine = deployment, machine
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.2):
            number = len(self.executions)
            self.executions.append(self._deployment.execute(self._machine, id=f"e{number}"))


def seen(deployment: Deployment, kind: str) -> Counter[str]:
    lines = deployment.seen_file.read_text().splitlines()
    return Counter(line.split()[1] for line in lines if line.split()[0] == kind)


def in_flight(deployment: Deployment) -> int:
    return deployment.status()["totals"]["in_flight"]


@pytest.fixture
def deployment(deploy, tmp_path):
    code = tmp_path / "code"
    code.mkdir()
    (Path(code) / "shop_tasks.py").write_text(TASKS)
    deployment = deploy(BRIDGE_TASKS="shop_tasks", PYTHONPATH=str(code))
    deployment.create_activities()
    for pool in ("prefork", "threads"):
        deployment.worker("--pool", pool, concurrency=2)
    deployment.beat()
    deployment.poller()
    return deployment


@pytest.mark.parametrize("way", WAYS)
def test_no_process_ends_and_nothing_is_lost_or_doubled(deployment, way):
    machine = deployment.one_state("echo", HeartbeatSeconds=120, TimeoutSeconds=None)
    with redis.Redis.from_url(deployment.valkey.url, decode_responses=True) as admin:
        with Load(deployment, machine) as load:
            wait_until(lambda: len(load.executions) >= 10, what="load")
            with Celery("caller", broker=deployment.valkey.url, set_as_current=False) as caller:
                for number in range(ORDINARY):
                    caller.send_task("ordinary", (number,))
            with WAYS[way](admin):
                began = time.monotonic()
                with pytest.raises(redis.RedisError):
                    admin.set(f"{deployment.prefix}-refused", 1)
                if way == "OOM":  # claims in flight end, and no new task is claimed
                    wait_until(lambda: in_flight(deployment) == 0, timeout_s=30, what="drained")
                    time.sleep(2)
                    assert in_flight(deployment) == 0
                time.sleep(max(0.0, REFUSED_S - (time.monotonic() - began)))
            time.sleep(2)
        for execution in load.executions:
            assert deployment.ended(execution)["status"] == "SUCCEEDED"
    assert all(process.alive for process in deployment.processes), deployment.output
    assert seen(deployment, "echo") == {f"e{n}": 1 for n in range(len(load.executions))}
    wait_until(lambda: in_flight(deployment) == 0, what="nothing in flight")
    assert "Unrecoverable error" not in deployment.output
    if way != "READONLY":  # then Celery connects again, as after an outage of Redis
        ordinary = {str(number): 1 for number in range(ORDINARY)}
        wait_until(lambda: seen(deployment, "ordinary") == ordinary, what="the other tasks ran")
