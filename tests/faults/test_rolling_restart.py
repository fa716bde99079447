"""SIGTERM to any process, in any order, under load: no execution fails, no job runs twice."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from tests.faults.load import Load, all_claims_gone
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


def test_every_process_is_replaced_twice(deploy):
    """Executions are started all the time; each new process starts before the old one ends."""
    deployment = deploy(JOBS_ONLY="sleep")
    deployment.create_activities()
    starts = {
        "beat": deployment.beat,
        "poller": deployment.poller,
        "worker": lambda: deployment.worker(concurrency=4),
        "threads": lambda: deployment.worker("--pool", "threads", concurrency=4),
    }
    running = {name: start() for name, start in starts.items()}
    machine = deployment.one_state("sleep", HeartbeatSeconds=5)
    with Load(deployment, machine, per_s=3, seconds=1.5) as load:
        for order in (
            ["worker", "poller", "beat", "threads"],
            ["beat", "threads", "worker", "poller"],
        ):
            leaving = []
            for name in order:
                old, running[name] = running[name], starts[name]()
                old.signal(signal.SIGTERM)
                leaving.append(old)
            for old in leaving:
                assert old.wait(90) == 0, old.output
    assert load.statuses() == {"SUCCEEDED": len(load.executions)}
    assert len(load.executions) > 30
    all_claims_gone(deployment)
    assert set(Counter(run.claim_id for run in deployment.seen("sleep")).values()) == {1}
    failures = [e for e in load.executions if deployment.happened(e, "ActivityFailed")]
    assert failures == []

    def left() -> tuple[int, int]:
        status = deployment.status()
        return len(status["pollers"]), len(status["workers"])

    wait_until(lambda: left() == (1, 3))
