"""Scripts that several threads of a worker call at once, with a Valkey of their own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import redis
from celery import Celery
from celery.concurrency import prefork, thread

from bridge import install
from bridge.app_state import installed
from bridge.errors import StoreUnavailable
from bridge.local.valkey import LocalValkey
from bridge.settings import Settings
from bridge.store.scripts import SharedScripts
from bridge.worker.bootsteps import EquipTasks
from tests.waiting import wait_until

THREADS = 8


@pytest.fixture
def scripts(server):
    shared = SharedScripts(Settings(store_url=server.url, store_prefix="shared"))
    yield shared
    shared.redis.close()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(THREADS) as threads:
        yield threads


def reason(scripts: SharedScripts, claim_id: str) -> str:
    """Why this claim's job should stop: the cheapest script whose answer differs by claim."""
    return scripts.call("cancel_reason", claim_id, "run")


def called_at_once(admin, scripts, pool, *calls):
    """Make these calls while Valkey lets the first of them wait; returns their futures."""
    admin.client_pause(10_000, all=False)  # scripts may write
    futures = [pool.submit(scripts.call, *calls[0])]
    wait_until(lambda: scripts._sending and not scripts._waiting)  # its call waits for Valkey
    futures += [pool.submit(scripts.call, *call) for call in calls[1:]]
    wait_until(lambda: len(scripts._waiting) == len(calls) - 1)
    admin.client_unpause()
    return futures


def close(admin, scripts, *claim_ids: str) -> None:
    """Close claims, each for a reason of its own."""
    for each in claim_ids:
        admin.hset(f"{{shared}}:claim:{each}", mapping={"state": "closed", "reason": f"for {each}"})


def test_each_thread_gets_its_own_answer_over_one_connection(admin, scripts, pool):
    names = [f"c{n}" for n in range(THREADS)]
    close(admin, scripts, *names)
    before = admin.info("stats")["total_connections_received"]
    futures = called_at_once(
        admin, scripts, pool, *(("cancel_reason", name, "run") for name in names)
    )
    assert [f.result(timeout=10) for f in futures] == [f"for {name}" for name in names]
    assert admin.info("stats")["total_connections_received"] - before == 1


def test_calls_made_during_a_round_trip_share_the_next(admin, scripts, pool):
    reason(scripts, "warm")
    calls = [("cancel_reason", f"c{n}", "run") for n in range(THREADS)]
    futures = called_at_once(admin, scripts, pool, *calls)
    before = admin.info("stats")["total_writes_processed"]
    for future in futures:
        future.result(timeout=10)
    # The answers of the first, of all others together, and of INFO itself.
    assert admin.info("stats")["total_writes_processed"] - before <= 3


def test_a_server_that_has_forgotten_the_scripts_gets_them_again(admin, scripts, pool):
    close(admin, scripts, "c1")
    reason(scripts, "c1")
    admin.script_flush()
    calls = [("cancel_reason", "c1", "run")] * THREADS
    futures = called_at_once(admin, scripts, pool, *calls)
    assert {future.result(timeout=10) for future in futures} == {"for c1"}


def test_a_call_that_fails_fails_alone(admin, scripts, pool):
    """Its key has another type: a fault of the bridge, not of the server."""
    close(admin, scripts, "c1")
    admin.set("{shared}:claim:odd", "no hash")
    calls = [("cancel_reason", "odd" if n == THREADS // 2 else "c1", "run") for n in range(THREADS)]
    futures = called_at_once(admin, scripts, pool, *calls)
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        futures.pop(THREADS // 2).result(timeout=10)
    assert {future.result(timeout=10) for future in futures} == {"for c1"}


def test_all_threads_get_the_error_of_an_absent_server_and_can_call_again(admin, scripts, pool):
    close(admin, scripts, "c1")
    with LocalValkey() as other:
        url = other.url
    gone = SharedScripts(Settings(store_url=url, store_prefix="shared"))
    futures = [pool.submit(reason, gone, "c1") for _ in range(THREADS)]
    for future in futures:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            future.result(timeout=30)
    with pytest.raises(StoreUnavailable):
        pool.submit(reason, gone, "c1").result(timeout=30)  # no turn was lost
    assert pool.submit(reason, scripts, "c1").result(timeout=10) == "for c1"


def test_the_main_thread_sends_its_own_call_only(admin, scripts, pool):
    """A signal handler that raises there must not leave the other threads without a turn."""
    close(admin, scripts, "c1")
    started = threading.Event()
    scripts._sending = True  # as if a thread sent calls and never ended
    pool.submit(lambda: (started.set(), reason(scripts, "c2")))
    started.wait(10)
    assert reason(scripts, "c1") == "for c1"
    wait_until(lambda: scripts._waiting)
    scripts._waiting[0].turn.release()


@pytest.mark.parametrize(
    ("pool_cls", "threaded"), [(thread.TaskPool, True), (prefork.TaskPool, False)]
)
def test_only_pools_of_threads_share_round_trips(pool_cls, threaded, monkeypatch, server):
    monkeypatch.setenv("BRIDGE_STORE_URL", server.url)
    app = install(Celery("shares", broker=server.url, set_as_current=False))
    EquipTasks(SimpleNamespace(app=app, pool_cls=pool_cls, pool_start_method="fork"))
    bridge = installed(app)
    assert bridge.pool.name == ("thread" if threaded else "prefork")
    assert isinstance(bridge.jobs._of_jobs, SharedScripts) is threaded
