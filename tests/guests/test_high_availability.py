"""A hundred executions during a failover, a lost write, or a moved slot of the claims' Redis."""

from __future__ import annotations

import time
from collections import defaultdict
from itertools import pairwise

import pytest

from bridge.local.valkey import LocalValkey
from tests.acceptance.deployment import Deployment
from tests.faults.cluster import Cluster
from tests.faults.load import Load, all_alive, all_claims_gone
from tests.faults.sentinels import NAME, Sentinels

pytestmark = [pytest.mark.lasts(200), pytest.mark.acceptance]

EXECUTIONS = 100
JOB_S = 0.5
CUT_S = 2.0
"""How long no write reaches the replica before its primary is killed."""
APP = f"""
import os
from celery import Celery
import bridge
from bridge.celery_defaults import DEFAULTS, REDIS_TRANSPORT_OPTIONS
app = Celery("shop")
app.conf.update(DEFAULTS)
app.conf.broker_url = os.environ["SHOP_SENTINELS"]
app.conf.broker_transport_options = {{**REDIS_TRANSPORT_OPTIONS, "master_name": "{NAME}"}}
bridge.install(app)
"""


class OnSentinels(Deployment):
    """A deployment with broker and claims behind Sentinel; the store is derived from the broker."""

    app_name = "shop"


@pytest.fixture
def sentinels(tmp_path, local_stepfunctions):
    folder = tmp_path / "deployment"
    folder.mkdir()
    (folder / "shop.py").write_text(APP)
    with Sentinels(tmp_path) as made:
        deployment = OnSentinels(
            folder,
            valkey=LocalValkey(),
            stepfunctions_url=local_stepfunctions.url,
            BRIDGE_LEASE_S="6",
            JOBS_ONLY="sleep",
            SHOP_SENTINELS=made.hosts,
        )
        del deployment.env["CELERY_BROKER_URL"]
        deployment.env["PYTHONPATH"] += f":{folder}"
        yield made, deployment
        deployment.stop()


@pytest.fixture
def cluster(tmp_path, deploy):
    with Cluster(tmp_path / "cluster") as made:
        nodes = ",".join(f"127.0.0.1:{node.port}" for node in made.nodes)
        yield (
            made,
            deploy(
                BRIDGE_LEASE_S="6", JOBS_ONLY="sleep", BRIDGE_STORE_URL=f"redis+cluster://{nodes}"
            ),
        )


def assert_survives(deployment: Deployment, fault) -> None:
    """Every execution succeeds, no job runs twice at the same time, no claim stays in flight."""
    deployment.create_activities()
    processes = [deployment.worker(concurrency=4) for _ in range(2)]
    processes += [deployment.beat(), deployment.poller()]
    retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 5}
    machine = deployment.one_state("sleep", HeartbeatSeconds=15, Retry=[retry])
    began = time.monotonic()
    with Load(deployment, machine, per_s=10, seconds=JOB_S) as load:
        while len(load.executions) < EXECUTIONS // 3:
            time.sleep(0.1)
        fault_s = _timed(fault)
        while len(load.executions) < EXECUTIONS:
            time.sleep(0.1)
    statuses = load.statuses(timeout_s=180)
    took_s = time.monotonic() - began
    assert statuses == {"SUCCEEDED": len(load.executions)}, deployment.output
    all_claims_gone(deployment)
    runs, overlaps = defaultdict(list), []
    for run in deployment.seen("sleep"):
        runs[run.id].append(float(run.began))
    for execution, times in runs.items():
        times.sort()
        overlaps += [execution for a, b in pairwise(times) if b < a + JOB_S]
    assert overlaps == []
    all_alive(deployment)
    more = sum(map(len, runs.values())) - len(load.executions)
    print(  # noqa: T201 (what make guests shows)
        f"\n{len(load.executions)} executions succeeded in {took_s:.1f} s, 0 in flight; the fault "
        f"took {fault_s:.1f} s; {more} runs more than executions, none at the same time"
    )


def _timed(fault) -> float:
    began = time.monotonic()
    fault()
    return time.monotonic() - began


def test_sentinels_elect_another_primary(sentinels):
    servers, deployment = sentinels

    def kill():
        servers.primary.kill()
        servers.failover()

    assert_survives(deployment, kill)


def test_the_last_two_seconds_are_lost_with_the_primary(sentinels):
    servers, deployment = sentinels

    def forget():
        servers.cut()
        time.sleep(CUT_S)
        servers.primary.kill()
        servers.failover()

    assert_survives(deployment, forget)


def test_a_node_of_the_cluster_is_killed(cluster):
    servers, deployment = cluster
    key = f"{{{deployment.prefix}}}"

    def kill():
        owner = servers.owner(key)
        owner.kill()
        servers.failover(owner, key)

    assert_survives(deployment, kill)


def test_the_slot_of_the_claims_moves(cluster):
    servers, deployment = cluster
    assert_survives(deployment, lambda: servers.move_slot(f"{{{deployment.prefix}}}"))
