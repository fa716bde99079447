"""Redis, as broker and store, refuses writes for a moment: all processes wait and continue.

More cases are in tests/guests/test_refused_writes.py.
"""

from __future__ import annotations

import time

import pytest
import redis

from tests.refused_writes import WAYS
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance


def test_no_process_ends_and_nothing_is_lost_or_doubled(deploy):
    """All ways of refusing, one after the other, with a prefork and a threads worker."""
    deployment = deploy(JOBS_ONLY="echo")
    deployment.create_activities()
    for pool in ("prefork", "threads"):
        deployment.worker("--pool", pool, concurrency=2)
    deployment.beat()
    deployment.poller()
    machine = deployment.one_state("echo", HeartbeatSeconds=60)
    executions = []
    with redis.Redis.from_url(deployment.valkey.url, decode_responses=True) as admin:
        for name, refusing in WAYS.items():
            with refusing(admin):
                executions += [deployment.execute(machine, id=f"{name}{n}") for n in range(5)]
                time.sleep(2)
                with pytest.raises(redis.RedisError):
                    admin.set(f"{deployment.prefix}-refused", 1)
            for execution in executions[-5:]:
                assert deployment.ended(execution)["status"] == "SUCCEEDED", name
            assert all(process.alive for process in deployment.processes), deployment.output
    runs = sorted(run.id for run in deployment.seen("echo"))
    assert runs == sorted(f"{name}{n}" for name in WAYS for n in range(5))
    wait_until(lambda: deployment.status()["totals"]["in_flight"] == 0, what="nothing in flight")
    assert "Unrecoverable error" not in deployment.output
