"""Redis is killed, away, half-open or stopped under load: nothing is lost.

Claims, queues and leases are in one Valkey with an append-only file, as in production; a proxy
stands between it and the bridge.
"""

from __future__ import annotations

import time

import pytest

from bridge.local.valkey import LocalValkey
from tests.acceptance.deployment import Deployment
from tests.faults.load import Load, all_alive, all_claims_gone
from tests.faults.proxy import Proxy
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

AWAY_S = 20.0


@pytest.fixture
def redis_proxy(tmp_path):
    server = LocalValkey(data_dir=tmp_path / "valkey").start()
    with Proxy("127.0.0.1", server.port) as proxy:
        proxy.behind = server
        yield proxy


@pytest.fixture
def fleet(deploy, redis_proxy):
    def make(*pools: str) -> Deployment:
        url = redis_proxy.url("redis") + "/0"
        made = deploy(JOBS_ONLY="safe", valkey=redis_proxy.behind, CELERY_BROKER_URL=url)
        made.create_activities()
        for pool in pools:
            made.worker("--pool", pool, concurrency=4)
        made.beat()
        made.poller()
        return made

    return make


@pytest.mark.parametrize("fault", ["killed", "refused", "half-open", "stopped"])
def test_nothing_is_lost_when_it_is_away_for_twenty_seconds(fleet, redis_proxy, fault):
    """Nothing is lost, and every process continues by itself, consumers included.

    A job that was running meanwhile may run again: its worker's lease ended (on_lost="retry").
    """
    server = redis_proxy.behind
    deployment = fleet("prefork", "threads")
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 3}]
    machine = deployment.one_state("safe", HeartbeatSeconds=45, TimeoutSeconds=600, Retry=retry)
    with Load(deployment, machine, per_s=2, seconds=0.5) as load:
        wait_until(lambda: len(deployment.seen("safe")) >= 4)
        if fault == "killed":
            server.kill()
        elif fault == "refused":
            redis_proxy.refuse()
        elif fault == "half-open":
            redis_proxy.freeze()
        else:
            server.pause()
        time.sleep(AWAY_S)
        if fault == "killed":
            server.start()
        elif fault == "stopped":
            server.resume()
        else:
            redis_proxy.heal()
        before = {run.id for run in deployment.seen("safe")}
        wait_until(
            lambda: len({run.id for run in deployment.seen("safe")} - before) >= 8,
            what="eight more jobs run",
            timeout_s=60,
        )
    assert load.statuses() == {"SUCCEEDED": len(load.executions)}
    all_claims_gone(deployment)
    all_alive(deployment)
    wait_until(
        lambda: sum("celery" in w["queues"] for w in deployment.status()["workers"]) == 2,
        what="both workers serve",
    )
