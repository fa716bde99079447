"""Processes and commands refuse a store that another version of the bridge uses."""

from __future__ import annotations

import time

import pytest
import redis
from celery import Celery

from bridge.model import Job, claim_id_of
from bridge.store.schema import SCHEMA
from tests.acceptance.deployment import BEAT, CREDENTIALS
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

NEWER = SCHEMA + 1


@pytest.fixture
def deployment(deploy):
    """A deployment whose store has a newer schema and a claim in flight."""
    made = deploy()
    root = "{" + made.prefix + "}"
    with redis.Redis.from_url(made.valkey.url, decode_responses=True) as admin:
        admin.set(root, NEWER)
        admin.hset(f"{root}:load", "celery", 1)
        made.root, made.admin = root, admin
        yield made


def test_each_process_refuses_the_store_in_one_sentence(deployment):
    """It ends with status 2, and has written nothing."""
    deployment.create_activities()
    before = set(deployment.admin.keys("*"))
    starting = [
        deployment.start("poller", "poll", **CREDENTIALS),
        deployment.start("worker", "worker", "--without-mingle"),
        deployment.start("beat", *BEAT, **CREDENTIALS),
    ]
    for process in starting:
        assert process.wait() == 2, process.output
        assert (
            f"has schema {NEWER}, and this version of the bridge needs schema {SCHEMA}"
            in process.output
        )
        assert "Drain the store with the version that wrote it" in process.output
        assert "Traceback" not in process.output
    shown = deployment.run("status")
    assert (shown.returncode, shown.stderr.count(f"has schema {NEWER}")) == (2, 1)
    assert f"has schema {NEWER}" in deployment.run("doctor").stdout.replace("\n", " ")
    ours = {key for key in deployment.admin.keys("*") if key.startswith(deployment.root)}
    assert ours <= before


def test_a_running_worker_logs_it_and_starts_no_more_jobs(deploy):
    """A worker that serves ordinary queues only does start: its tasks need no store."""
    made = deploy()
    root = "{" + made.prefix + "}"
    worker = made.worker("--pool", "solo")
    with redis.Redis.from_url(made.valkey.url, decode_responses=True) as admin:
        worker_id = wait_until(lambda: admin.zrange(f"{root}:workers", 0, -1))[0]
        admin.set(root, NEWER)
        admin.hset(f"{root}:load", "celery", 1)
        worker.says(f"has schema {NEWER}")
        ends_ms = admin.zscore(f"{root}:workers", worker_id)
        wait_until(lambda: time.time() * 1000 > ends_ms)
        assert admin.zscore(f"{root}:workers", worker_id) == ends_ms
        assert worker.alive
        plain = made.worker("-Q", f"plain-{made.prefix}", "--pool", "solo")
        plain.says("this worker serves no activity")
        plain.says("ready.")
        # Its queues can change: it gets a job of the other version, and has no lease for it.
        job, queue = Job(claim_id_of("a token"), 1), f"plain-{made.prefix}-jobs"
        admin.hset(
            f"{root}:claim:{job.claim_id}",
            mapping={
                "activity": f"{made.prefix}-echo",
                "queue": "celery",
                "state": "queued",
                "attempt": 1,
                "every": 1000,
            },
        )
        with Celery(broker=made.valkey.url, set_as_current=False) as app:
            app.send_task("jobs.echo", [{}], queue=queue, task_id=job.id)
            app.control.add_consumer(queue)
        plain.says(f"job {job.id} goes back to its queue: worker")
        app.control.cancel_consumer(queue)
        wait_until(lambda: admin.llen(queue) == 1)
