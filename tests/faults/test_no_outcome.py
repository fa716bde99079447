"""While the broker is away, a job that asks for another delivery waits; it does not fail.

The parts of the store and of result backends are in tests/guests/test_no_outcome.py.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import pytest

from bridge.local.valkey import LocalValkey
from tests.faults.load import all_alive, all_claims_gone
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

AGAIN = ["autoretry", "no-throw", "other-arguments", "requeue", "retry"]
"""Ways to ask the broker for another delivery of the job."""
ENDS = ["heartbeat", "last", "reject"]
"""Ways to end without asking the broker."""
AWAY_S = 6.0


@pytest.fixture
def start(tmp_path):
    """Start a Valkey that keeps its data over a restart; it is stopped when the test ends."""
    with contextlib.ExitStack() as started:
        yield lambda name: started.enter_context(LocalValkey(data_dir=tmp_path / name))


@pytest.fixture(params=["the store's Redis", "another Redis"])
def broker(request, deploy, start):
    """A deployment, and the Valkey that is its broker."""
    server = start("broker")
    if request.param == "another Redis":
        store = start("store")
        made = deploy(
            JOBS_ONLY="outage",
            valkey=store,
            CELERY_BROKER_URL=server.url,
            BRIDGE_STORE_URL=store.url,
        )
    else:
        made = deploy(JOBS_ONLY="outage", valkey=server)
    return made, server


def test_a_retry_waits_for_the_broker(broker):
    deployment, server = broker
    deployment.create_activities()
    deployment.worker(concurrency=len(AGAIN + ENDS))
    deployment.beat()
    deployment.poller()
    machine = deployment.one_state("outage", HeartbeatSeconds=60)
    began = {how: deployment.execute(machine, id=how, how=how) for how in AGAIN + ENDS}
    wait_until(lambda: len(deployment.seen("outage")) == len(began))
    server.kill()
    Path(f"{deployment.seen_file}.away").touch()
    time.sleep(AWAY_S)
    server.start()
    assert {how: result(deployment, execution) for how, execution in began.items()} == {
        "autoretry": {"id": "autoretry", "how": "autoretry", "retries": 1},
        "retry": {"id": "retry", "how": "retry", "retries": 1},
        "requeue": {"id": "requeue", "how": "requeue", "retries": 0},
        "other-arguments": {
            "id": "other-arguments",
            "how": "other-arguments",
            "changed": True,
            "retries": 1,
        },
        "no-throw": "went on",
        "heartbeat": True,
        "last": "TooHot",
        "reject": "Bridge.Rejected",
    }
    runs = [run.id for run in deployment.seen("outage")]
    assert sorted(runs) == sorted(
        [*AGAIN, *ENDS, "autoretry", "other-arguments", "requeue", "retry"]
    )
    all_claims_gone(deployment)
    all_alive(deployment)


def result(deployment, execution):
    """What the execution ended with: its output, or its error."""
    if deployment.ended(execution)["status"] == "FAILED":
        return deployment.ended(execution)["error"]
    # Not from the description: moto leaves out the quotes of a string.
    return json.loads(deployment.history(execution)[-1]["executionSucceededEventDetails"]["output"])
