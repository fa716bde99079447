"""A failover of Redis loses the last writes: running jobs go on, and no job runs twice."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import redis

from bridge.model import Job, Outcome, claim_id_of
from bridge.store import Recovery
from bridge.store.health import read_signs
from tests.fixtures_bridge import NUMBERS
from tests.waiting import wait_until


@pytest.fixture
def lost(store):
    """What is written inside is lost, as it is with a primary whose replica takes over."""

    @contextmanager
    def lose():
        with redis.Redis.from_url(store.settings.store_url) as client:
            pattern = f"{store.settings.root_key}:*"
            before = {key: client.dump(key) for key in client.keys(pattern)}
            yield
            client.delete(*client.keys(pattern))
            for key, value in before.items():
                client.restore(key, 0, value)
            client.set(f"{store.settings.root_key}:server", "the one before")

    return lose


def recovery_pass(store) -> list[str]:
    """Claims that a pass of recovery would publish."""
    assert store.run(store.claims.find_lost(10)) == []
    return [u.claim.claim_id for u in store.run(store.claims.take_unstarted(10, hold_s=0.01))]


def renew(store, *jobs: Job):
    ids = [job.claim_id for job in jobs]
    return store.jobs.renew_lease(
        "w1",
        number=next(NUMBERS),
        slots=4,
        queues=["celery"],
        fetches=len(ids) < 4,
        claim_ids=ids,
        active=ids,
    )


def takeover_ends(store) -> None:
    key = f"{store.settings.root_key}:passes"
    with redis.Redis.from_url(store.settings.store_url, decode_responses=True) as client:

        def over():
            seconds, micros = client.time()
            return seconds * 1000 + micros / 1000 > float(client.hget(key, "takeover"))

        wait_until(over, what="workers have had the time to renew")


def test_a_health_check_reads_when_passes_began_and_nothing_else(store, lost):
    store.run(store.claims.find_lost(10))
    with lost():
        pass
    store.run(store.claims.find_lost(10))
    assert store.run(store.claims.take_heartbeats(1)).heartbeats == []
    passes = read_signs(store.settings, timeout_s=5).passes
    assert set(passes) == {"heartbeat", "recovery"}
    assert all(0 <= age_s < 60 for age_s in passes.values())


def test_a_job_whose_beginning_is_lost_is_not_published_again(store, lost):
    store.run(store.claims.find_lost(10))
    job = store.claim(interval_s=60).job
    renew(store)
    with lost():
        store.run(store.claims.mark_queued(job))
        assert store.jobs.start(job, retry=0, worker="w1", run="r1") == "run"
    wait_until(lambda: store.status().oldest_s > 0.3, what="it is due for publishing")
    assert recovery_pass(store) == []  # its worker may have it, and has not said so
    renew(store, job)
    takeover_ends(store)
    renew(store, job)
    assert recovery_pass(store) == []  # its worker has it
    assert store.jobs.settle(job, Outcome(output="1")) == "stored"


def test_a_job_that_no_worker_has_is_published_after_a_takeover(store, lost):
    store.run(store.claims.find_lost(10))
    job = store.claim(interval_s=60).job
    renew(store)
    with lost():
        store.run(store.claims.mark_queued(job))
    wait_until(lambda: store.status().oldest_s > 0.3, what="it is due for publishing")
    assert recovery_pass(store) == []
    takeover_ends(store)
    renew(store)
    assert recovery_pass(store) == [job.claim_id]


def test_no_worker_counts_as_dead_right_after_a_takeover(store, lost):
    store.run(store.claims.find_lost(10))
    job = store.running(interval_s=60)
    wait_until(lambda: store.reader.read([]).workers[0].lease_s < 0, what="its lease has ended")
    with lost():
        renew(store, job)
    assert recovery_pass(store) == []
    assert renew(store, job).unwanted == frozenset()
    takeover_ends(store)
    assert recovery_pass(store) == []


def test_a_job_whose_claim_is_lost_is_unwanted(store):
    """Its token is lost, so that nothing takes its outcome."""
    job = Job(claim_id_of("token-lost"), 1)
    assert renew(store, job).unwanted == {job.claim_id}
    assert store.jobs.start(job, retry=0, worker="w1", run="r1") == "closed"


def test_a_job_that_its_worker_has_lost_is_published_at_once(store):
    """This holds although the worker announced a moment ago that it has the job."""
    job = store.running(max_attempts=2, interval_s=60)
    renew(store, job)
    outcome = Outcome.failure("Bridge.WorkerLost", "its process was killed")
    assert store.jobs.recover(job, worker="w1", outcome=outcome, job_is_gone=True) is Recovery.AGAIN
    assert recovery_pass(store) == [job.claim_id]


def test_a_health_check_reads_the_signs_after_a_takeover(store, lost):
    store.run(store.claims.find_lost(10))
    with lost():
        pass
    store.run(store.claims.find_lost(10))
    assert read_signs(store.settings, timeout_s=5).passes.keys() >= {"recovery"}


def test_neither_the_first_pass_nor_the_same_server_is_a_takeover(store):
    for _ in range(2):
        store.run(store.claims.find_lost(10))
    with redis.Redis.from_url(store.settings.store_url, decode_responses=True) as client:
        assert not client.hexists(f"{store.settings.root_key}:passes", "takeover")


def test_workers_are_found_lost_even_if_each_pass_meets_another_server(store):
    """Behind a proxy INFO may come from any of several servers."""
    job = store.running(max_attempts=1)
    with redis.Redis.from_url(store.settings.store_url) as client:

        def found():
            client.set(f"{store.settings.root_key}:server", f"another than {next(NUMBERS)}")
            return store.run(store.claims.find_lost(10))

        ((found_job, worker, _),) = wait_until(found, what="the dead worker is found")
    assert (found_job, worker) == (job, "w1")
