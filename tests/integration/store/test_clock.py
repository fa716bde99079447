"""Redis' clock jumps (NTP, a failover to another host), and no lease and no token is lost.

The real scripts on a real Valkey; only what they read as TIME is shifted, by a key of the test.
"""

from __future__ import annotations

import asyncio
import hashlib
import time

import pytest
import redis

from bridge.loops import heartbeat
from bridge.loops.reporter import Reporter
from bridge.model import Outcome
from bridge.store import ClaimStore, PassKind, Start, Wish, scripts
from bridge.store.health import read_signs
from tests.integration.store.accepting import Accepting
from tests.waiting import wait_until

TIME = "  return time[1] * 1000 + math.floor(time[2] / 1000)\n"
HOUR_S = 3600.0
OK = Outcome(output="1")
REAL_SCRIPT = scripts.script


def shifted(name: str) -> scripts.Script:
    text = REAL_SCRIPT(name).text
    assert text.count(TIME) == text.count("'TIME'") == 1
    more = TIME.replace("\n", " + tonumber(redis.call('GET', key('shift')) or 0)\n")
    text = text.replace(TIME, more)
    return scripts.Script(text, hashlib.sha1(text.encode()).hexdigest())


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"lease_s": 3.0, "tick_s": 0.1, "patience_s": 60.0})


@pytest.fixture
def jump(monkeypatch, settings):
    """Let Redis' clock jump by so many seconds."""
    monkeypatch.setattr(scripts, "script", shifted)
    with redis.Redis.from_url(settings.store_url) as admin:
        yield lambda seconds: admin.incrby(f"{settings.root_key}:shift", round(seconds * 1000))


def watch(store) -> None:
    store.run(store.claims.watch_clock())


def send_heartbeats(store, aws) -> heartbeat.HeartbeatCounts:
    return store.run(
        heartbeat.send_due_heartbeats(
            clients=aws, store=store.claims, concurrent_calls=4, on_unfinished=unwanted
        )
    )


def unwanted(job) -> None:
    raise AssertionError(f"{job} is given up")


JUMPS = pytest.mark.parametrize("seconds", [HOUR_S, -HOUR_S, 30 * HOUR_S, 4.0, -4.0])


@JUMPS
def test_claims_of_every_state_go_on(store, jump, seconds):
    """Nothing is given up, recovered or forgotten; heartbeats keep their interval."""
    aws = Accepting()
    watch(store)
    waiting = store.claim("token-waiting", interval_s=0.5)
    store.run(store.claims.mark_queued(waiting.job))
    running = store.running("token-running", interval_s=0.5)
    manual = store.running("token-manual", manual=True, interval_s=0.5)
    retried = store.running("token-retried", interval_s=0.5)
    store.jobs.release(retried, run="r1", retry=1, delay_s=0)
    store.jobs.settle(store.running("token-settled", interval_s=0.5), OK)
    store.run(asyncio.sleep(0.1))
    jump(seconds)
    # Whichever script is first to run, before the jump is noticed.
    store.worker()
    assert store.run(store.claims.find_lost(10)) == []
    assert store.run(store.claims.take_unstarted(10, hold_s=5)) == []
    send_heartbeats(store, aws)
    assert store.jobs.keep_alive(manual, run="r1")
    for _ in range(2):
        watch(store)
        store.run(asyncio.sleep(0.11))
    ends = time.monotonic() + 1.2
    while time.monotonic() < ends:
        store.worker()
        watch(store)
        assert store.jobs.keep_alive(manual, run="r1")
        send_heartbeats(store, aws)
        assert store.run(store.claims.find_lost(10)) == []
        store.run(asyncio.sleep(0.05))
    for token in ("waiting", "running", "manual", "retried", "settled"):
        # Every half second, of about a second and a half.
        assert 2 <= aws.heartbeats.count(f"token-{token}") <= 4, (token, aws.heartbeats)
    assert store.jobs.start(waiting.job, retry=0, worker="w1", run="r2") is Start.RUN
    assert store.jobs.start(retried, retry=1, worker="w1", run="r2") is Start.RUN
    for job in (waiting.job, retried, running, manual):
        assert store.jobs.settle(job, OK) == "stored"
    reporter = Reporter(clients=aws, store=store.claims, concurrent_calls=4, on_unfinished=unwanted)
    assert store.run(reporter.flush(overdue_s=0)) == 5
    assert store.status().in_flight == 0


@JUMPS
def test_a_dead_worker_is_found_as_soon_as_without_a_jump(store, jump, seconds):
    """A jump back must not make its lease last for hours."""
    watch(store)
    store.run(store.claims.find_lost(10))
    job = store.running()
    jump(seconds)
    store.worker("w2")  # renewed before the jump is noticed

    def lost():
        watch(store)
        return store.run(store.claims.find_lost(10))

    began = time.monotonic()
    assert [each.job for each in wait_until(lost, timeout_s=10)] == [job]
    assert 2.0 < time.monotonic() - began < 6.5


@JUMPS
def test_leases_passes_and_polls_are_read_by_the_same_clock(store, jump, settings, seconds):
    watch(store)
    store.worker()
    store.run(store.claims.note_beat_pass(PassKind.HEARTBEAT))
    store.run(store.claims.grant_polls("p1", [Wish("resize", "celery", 0, 1)]))
    jump(seconds)
    store.run(asyncio.sleep(0.11))
    watch(store)
    status = store.reader.read([])
    assert 2 < status.workers[0].lease_s <= 3
    assert status.pollers == ["p1"]
    assert not store.run(store.claims.is_overdue(PassKind.HEARTBEAT, 1.0, of_beat=True))
    offset = read_signs(settings, timeout_s=5).workers["w1"]
    assert offset == pytest.approx(
        status.workers[0].lease_s + seconds, abs=1
    )  # Redis' TIME is real


def test_passed_time_is_not_a_jump(store, jump, settings):
    """No process watched the clock for an hour: afterwards all that is due is due."""
    watch(store)
    store.claim(interval_s=10)
    jump(HOUR_S)

    async def another() -> None:
        claims = ClaimStore(settings)
        try:
            await claims.watch_clock()
            assert (await claims.take_heartbeats(10)).given_up  # its patience was a minute
        finally:
            await claims.close()

    store.run(another())


def test_a_process_that_was_stopped_reports_no_jump(store, settings, monkeypatch):
    """Its monotonic clock goes on: an outage of Redis looks the same."""
    from bridge.store import clock

    watch(store)
    before = store.claims._clock._last
    real = time.monotonic
    monkeypatch.setattr(clock.time, "monotonic", lambda: real() + HOUR_S)
    after = clock._Reading(before.redis_ms + round(HOUR_S * 1000), real() + HOUR_S, real() + HOUR_S)
    assert clock._jump_ms(before, after) == 0


def test_renewals_of_leases_note_the_clock_while_no_process_watches_it(store, jump, settings):
    """Without that, a single poller that is restarted would find their leases ended."""
    watch(store)
    ends = time.monotonic() + 3.5
    while time.monotonic() < ends:  # longer than the slack
        store.worker()
        time.sleep(0.2)
    signs = read_signs(settings, timeout_s=5)
    assert 2 < signs.workers["w1"] <= 3
    assert store.run(store.claims.grant_polls("p1", [Wish("a", "celery", 0, 1)])).slots == 4


def test_a_store_whose_clock_was_never_watched_uses_redis_own(store, jump):
    store.worker()
    jump(HOUR_S)
    assert store.run(store.claims.grant_polls("p1", [Wish("a", "celery", 0, 1)])).slots == 0
