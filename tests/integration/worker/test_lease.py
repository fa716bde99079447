"""A worker's lease: when it is renewed, and what a network or a store that hangs does to it."""

from __future__ import annotations

import socket
import threading
import time
from types import SimpleNamespace

import pytest
import redis
from celery.worker import state

from bridge.errors import SchemaMismatch, StoreUnavailable
from bridge.model import Job
from bridge.settings import Settings
from bridge.store import JobStore, Renewal, check_schema, jobs, schema_check
from bridge.store.jobs import lease_timeout_s
from bridge.worker import lease as leases
from tests.faults.proxy import Proxy
from tests.waiting import wait_until


@pytest.mark.parametrize("lease_s", [1, 3, 15, 300])
def test_a_renewal_that_hangs_leaves_time_for_another(lease_s):
    """Two thirds of a lease are left when a renewal begins."""
    timeout_s = lease_timeout_s(Settings(lease_s=lease_s, tick_s=0.1))
    pause_s = min(1.0, lease_s / 15)
    assert 2 * (timeout_s + pause_s) < lease_s * 2 / 3
    assert timeout_s <= 5


def bridge_and_worker(settings, jobs):
    """What a lease sees of a worker that is not connected yet."""
    registry = SimpleNamespace(task_names=frozenset({"jobs.a"}), queues=["celery"])
    queues = SimpleNamespace(consume_from={"celery": None})
    app = SimpleNamespace(amqp=SimpleNamespace(queues=queues))
    return (
        SimpleNamespace(settings=settings, jobs=jobs, registry=registry),
        SimpleNamespace(hostname="w@host", autoscale=None, concurrency=4, app=app),
    )


def test_a_lease_outlives_a_connection_that_went_dead(settings, valkey, monkeypatch):
    """The time-out of other calls is longer than this lease: healthy jobs would be lost."""
    monkeypatch.setattr(leases.atexit, "register", lambda call: None)
    with Proxy("127.0.0.1", valkey.port) as proxy:
        url = proxy.url("redis") + "/0"
        jobs = JobStore(settings.model_copy(update={"store_url": url, "lease_s": 3.0}))
        lease = leases.Lease(*bridge_and_worker(jobs._settings, jobs))
        workers = f"{settings.root_key}:workers"
        with redis.Redis.from_url(valkey.url, decode_responses=True) as admin:

            def left_s() -> float:
                seconds, microseconds = admin.time()
                ends_ms = admin.zscore(workers, lease._id)
                return (ends_ms or 0) / 1000 - seconds - microseconds / 1e6

            lease.start()
            wait_until(lambda: left_s() > 0)
            swallowed = proxy.swallow_next_request(b"EVALSHA")
            ends = time.monotonic() + 5.5
            while time.monotonic() < ends:
                assert left_s() > 0, "the lease has ended"
                time.sleep(0.05)
            assert swallowed.hits == 1
        lease._leave()
        assert not lease._thread.is_alive()
        jobs.close()


def test_a_store_of_another_schema_is_logged_seldom(settings, monkeypatch, caplog):
    """The worker may serve ordinary queues for weeks, and its log is the app's."""
    monkeypatch.setattr(leases.atexit, "register", lambda call: None)
    tries = threading.Semaphore(0)

    def refuse(*args, **kwargs):
        tries.release()
        raise SchemaMismatch("the claim store has schema 2")

    settings = settings.model_copy(update={"lease_s": 0.1})
    lease = leases.Lease(*bridge_and_worker(settings, SimpleNamespace(renew_lease=refuse)))
    lease.start()
    for _ in range(5):
        assert tries.acquire(timeout=30)
    lease._ended = True
    lease._wake.set()
    lease._thread.join(30)
    assert [r.getMessage().count("schema 2") for r in caplog.records] == [1]


@pytest.mark.parametrize("what", ["start", "end"])
def test_a_store_that_hangs_delays_neither_start_nor_end_of_a_worker(settings, monkeypatch, what):
    """Not even of a worker of ordinary tasks: with redis-py's own retries it took 80 s."""
    monkeypatch.setattr(schema_check, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(jobs, "SOCKET_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        settings = settings.model_copy(update={"store_url": url})
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            check_schema(settings) if what == "start" else JobStore(settings).end_lease("w1")
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "call",
    [
        lambda store, _: store.renew_lease("w1", number=1, slots=1, queues=["celery"]),
        lambda store, job: store.cancel_reason(job, run="r1"),
        lambda store, job: store.keep_alive(job, run="r1"),
    ],
    ids=["renewal", "cancelled", "heartbeat"],
)
def test_what_hangs_is_not_tried_again_by_redis_py(settings, call):
    """A connection and a call are tried several times each: a job waited 80 s for an answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        store = JobStore(settings.model_copy(update={"store_url": url, "lease_s": 1.0}))
        with pytest.raises(StoreUnavailable, match="TimeoutError"):
            call(store, Job("0" * 24, 1))
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


class Announced:
    """A store that notes each renewal; ``unwanted`` is its answer."""

    def __init__(self):
        self.renewals, self.unwanted = [], frozenset()
        self.came = threading.Condition()

    def renew_lease(self, worker, **said):
        with self.came:
            self.renewals.append(said)
            self.came.notify()
        return Renewal(True, [], self.unwanted)

    def wait_for(self, count: int):
        with self.came:
            assert self.came.wait_for(lambda: len(self.renewals) >= count, timeout=30)
            return self.renewals[-1]


class TestChanges:
    """With the default lease, renewed every 5 s."""

    @pytest.fixture
    def store(self, settings, monkeypatch):
        monkeypatch.setattr(leases.atexit, "register", lambda call: None)
        store = Announced()
        bridge, self.worker = bridge_and_worker(settings, store)
        self.lease = leases.Lease(bridge, self.worker)
        self.lease._interval_s = 3600
        self.lease.start()
        store.wait_for(1)
        yield store
        self.lease._ended = True
        self.lease._wake.set()
        self.lease._thread.join(30)

    def test_a_change_is_announced_with_the_sample_that_finds_it(self, store, caplog):
        caplog.set_level("INFO", "bridge.worker.lease")
        began = time.monotonic()
        self.worker.concurrency = 1
        assert store.wait_for(2)["slots"] == 1
        assert time.monotonic() - began < 10  # an hour, without it
        wait_until(
            lambda: "w@host announces 1 slot in celery (was 4 slots in celery)" in caplog.text
        )

    def test_a_drain_is_announced_at_once(self, store):
        self.lease.drain()
        assert store.wait_for(2)["slots"] == 0

    def test_many_changes_are_announced_once_a_second(self, store):
        """Changes may not stop: ordinary tasks begin and end."""
        ends = time.monotonic() + 4
        while time.monotonic() < ends:
            self.worker.concurrency += 1
            time.sleep(0.05)
        assert 5 <= len(store.renewals) <= 1 + leases.CHANGES_AT_ONCE + 6

    def test_an_unwanted_job_that_has_ended_frees_its_slot(self, store):
        """Its claim is closed, so that only the worker can tell the store of its end."""
        store.unwanted = frozenset({"0" * 24})
        self.worker.concurrency = 3
        store.wait_for(2)
        store.unwanted = frozenset()
        store.wait_for(3)
        time.sleep(3 * leases.SAMPLE_S)
        assert len(store.renewals) == 3

    def test_a_revoked_job_that_has_ended_frees_its_slot(self, store):
        """Its claim was closed after the last renewal."""

        class Request:
            id, type = Job("0" * 24, 1).id, "jobs.a"

        state.active_requests.add(running := Request())
        state.revoked.add(running.id)
        time.sleep(4 * leases.SAMPLE_S)
        assert len(store.renewals) == 1  # the store knows that it is closed
        state.active_requests.discard(running)
        store.wait_for(2)
        state.revoked.clear()

    def test_nothing_is_announced_while_nothing_changes(self, store):
        time.sleep(4 * leases.SAMPLE_S)
        assert len(store.renewals) == 1
