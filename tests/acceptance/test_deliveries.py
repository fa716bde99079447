"""Workers acknowledge jobs to Redis in batches, and acknowledge all of them."""

from __future__ import annotations

import signal

import pytest
import redis

from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance


@pytest.fixture
def fresh(deploy):
    """Make a deployment; also, a function for its unacknowledged messages by delivery tag."""

    def make(only: str):
        deployment = deploy(JOBS_ONLY=only)
        client = redis.Redis.from_url(deployment.valkey.url)
        client.delete("unacked", "unacked_index")  # left by tests that killed their workers
        deployment.create_activities()
        return deployment, lambda: client.hgetall("unacked")

    return make


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_done_jobs_are_acknowledged_while_the_worker_idles(fresh, pool):
    deployment, unacked = fresh("echo")
    deployment.worker("--pool", pool)
    deployment.poller()
    machine = deployment.one_state("echo")
    executions = [deployment.execute(machine, id=f"e{number}") for number in range(10)]
    for execution in executions:
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
    assert wait_until(lambda: not unacked())


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_that_stops_acknowledges_what_it_finishes(fresh, pool):
    deployment, unacked = fresh("sleep")
    worker = deployment.worker("--pool", pool)
    deployment.poller()
    execution = deployment.execute(deployment.one_state("sleep"), id="last", seconds=2)
    wait_until(lambda: deployment.seen("sleep"))
    assert wait_until(unacked)
    worker.signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert not unacked()
    assert deployment.ended(execution)["status"] == "SUCCEEDED"
