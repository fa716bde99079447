"""While the store or a result backend is away, jobs wait; they do not fail.

The same for the broker is in tests/faults/test_no_outcome.py.
"""

from __future__ import annotations

import os
import signal

import pytest

from tests.faults.load import all_claims_gone
from tests.faults.test_no_outcome import result, start
from tests.waiting import wait_until

pytestmark = [pytest.mark.lasts(60), pytest.mark.timeout(180)]

__all__ = ["start"]  # a fixture, used by its name


def test_time_limits_that_pass_before_the_task_begins_are_no_outcome(deploy, start):
    """A time limit ends a job that waits for the store: it is delivered again, and runs."""
    broker, store = start("broker"), start("store")
    deployment = deploy(
        JOBS_ONLY="soft-limit hard-limit",
        BRIDGE_LEASE_S="8",
        valkey=store,
        CELERY_BROKER_URL=broker.url,
        BRIDGE_STORE_URL=store.url,
    )
    deployment.create_activities()
    worker = deployment.worker(concurrency=2)
    deployment.beat()
    deployment.poller()
    kinds = {"soft-limit": {"fails_after": 0.1}, "hard-limit": {"seconds": 0.1}}
    machines = {kind: deployment.one_state(kind, HeartbeatSeconds=60) for kind in kinds}
    os.killpg(worker.popen.pid, signal.SIGSTOP)
    began = {
        kind: deployment.execute(machine, id=kind, **kinds[kind])
        for kind, machine in machines.items()
    }
    wait_until(lambda: deployment.status()["totals"]["queued"] == len(kinds))
    store.kill()
    os.killpg(worker.popen.pid, signal.SIGCONT)
    worker.says("Hard time limit (2s) exceeded")  # the soft time limit of 1 s has passed before it
    store.start()
    assert result(deployment, began["soft-limit"]) == "ValueError"
    assert result(deployment, began["hard-limit"]) is None
    all_claims_gone(deployment)


APP = """
from celery import Celery
import bridge

app = Celery("shop", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["BACKEND"])
app.conf.update(
    task_track_started=True, result_backend_transport_options={"retry_policy": {"timeout": 0.5}},
)
bridge.install(app)
"""


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_result_backend_that_is_away_fails_no_job(deploy, start, pool):
    """Only Celery uses it: jobs wait for it, or have ended already."""
    backend = start("backend")
    deployment = deploy(JOBS_ONLY="echo retry", BACKEND=backend.url)
    (deployment.folder / "shop.py").write_text("import os" + APP)
    deployment.env["PYTHONPATH"] += f":{deployment.folder}"
    deployment.create_activities()
    # All processes use this app: the publisher of a message decides whether a result is stored.
    worker = deployment.worker("--pool", pool, app="shop")
    deployment.poller(app="shop")
    assert deployment.outcome("echo", id="0")[0] == "SUCCEEDED"
    machine = deployment.one_state("retry", HeartbeatSeconds=60)
    first = deployment.execute(machine, id="1", failures=1, countdown=1)
    wait_until(lambda: deployment.seen("retry"))
    backend.kill()
    second = deployment.execute(deployment.one_state("echo", HeartbeatSeconds=60), id="2")
    worker.says("did not begin")
    backend.start()
    assert result(deployment, first) == {"retries": 1}
    assert result(deployment, second) == {"id": "2"}
