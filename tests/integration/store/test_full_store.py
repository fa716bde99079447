"""A store at maxmemory: claims in flight go on, and calls that need memory are refused."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import pytest

from bridge.errors import StoreUnavailable
from bridge.loops import heartbeat, recovery
from bridge.loops.reporter import Reporter
from bridge.model import Claim, Job, Outcome, claim_id_of
from bridge.store import DueHeartbeat, PassKind, Recovery, Settled, Start, Wish, check_schema
from tests.fixtures_bridge import Store
from tests.integration.store.accepting import Accepting
from tests.integration.store.full_server import full
from tests.integration.store.full_server import settings as settings
from tests.integration.store.full_server import valkey as valkey

OK = Outcome(output="1")
FAILED = Outcome.failure("Boom", "it broke")
WISH = [Wish("resize", "celery", 0, 1)]


def store_a_claim(store: Store) -> bool:
    token = "token-new"
    return store.store(Claim(claim_id_of(token), "resize", "{}"), token=token, interval_s=1)


def take(store: Store, name: str, *args) -> object:
    return store.run(store.claims._scripts.call(name, *args))


def settled(store: Store) -> str:
    return store.settled().claim_id


# Script → how the store is prepared, and the call that must be let through: its answer is checked.
GO_ON: dict[str, tuple[Callable[[Store], object], Callable[[Store, object], object]]] = {
    "check_schema": (
        lambda s: s.settings,
        lambda s, settings: check_schema(settings) is None,
    ),
    "close": (
        Store.settled,
        lambda s, job: len(s.run(s.claims.close_claims([job.claim_id], reason="reported")).ended),
    ),
    "find_lost": (Store.running, lambda s, job: s.run(s.claims.find_lost(10)) == []),
    "retry_heartbeat": (
        Store.running,
        lambda s, job: s.run(
            s.claims.retry_heartbeat(DueHeartbeat(job.claim_id, "token-1", 10.0, 5, "resize"), 0.1)
        ),
    ),
    "hold_polls": (Store.running, lambda s, job: s.run(s.claims.hold_polls([""])) is None),
    "keep_alive": (
        lambda s: s.running(manual=True),
        lambda s, job: s.jobs.keep_alive(job, run="r1"),
    ),
    "end_lease": (Store.running, lambda s, job: s.jobs.end_lease("w1") == 1),
    "recover": (
        lambda s: s.running(max_attempts=2),
        lambda s, job: (
            s.jobs.recover(job, worker="w1", outcome=FAILED, job_is_gone=True) is Recovery.AGAIN
        ),
    ),
    "mark_queued": (Store.claim, lambda s, claim: s.run(s.claims.mark_queued(claim.job))),
    "note_beat_pass": (
        Store.claim,
        lambda s, _: s.run(s.claims.note_beat_pass(PassKind.RECOVERY)) is None,
    ),
    "postpone_report": (
        Store.settled,
        lambda s, job: s.run(s.claims.postpone_report(job.claim_id, 5.0)),
    ),
    "release": (Store.running, lambda s, job: s.jobs.release(job, run="r1", retry=1, delay_s=0)),
    "renew_lease": (
        Store.running,
        lambda s, job: (
            s.jobs.renew_lease("w1", number=10**6, slots=4, queues=["celery"], claim_ids=[]).renewed
        ),
    ),
    "set_clock": (
        lambda s: s.run(s.claims.watch_clock()),
        lambda s, _: take(s, "set_clock", 1, 0) == 0,
    ),
    "settle": (Store.running, lambda s, job: s.jobs.settle(job, OK) is Settled.STORED),
    "start": (
        lambda s: (s.worker(), s.claim().job)[1],
        lambda s, job: s.jobs.start(job, retry=0, worker="w1", run="r1") is Start.RUN,
    ),
    "take_heartbeats": (
        lambda s: s.running(interval_s=0.001),
        lambda s, job: s.run(s.claims.take_heartbeats(10)).looked == 1,
    ),
    "take_outbox": (
        Store.settled,
        lambda s, job: len(s.run(s.claims.take_outbox(10, hold_s=60)).reports) == 1,
    ),
    "take_unstarted": (
        lambda s: s.jobs.recover(
            s.running(max_attempts=2), worker="w1", outcome=FAILED, job_is_gone=True
        ),
        lambda s, _: len(s.run(s.claims.take_unstarted(10, hold_s=60))) == 1,
    ),
    "watch_clock": (Store.claim, lambda s, _: s.run(s.claims.watch_clock()) is None),
    "withdraw_poller": (
        lambda s: (s.worker(), s.run(s.claims.grant_polls("p1", WISH))),
        lambda s, _: s.run(s.claims.withdraw_poller("p1")),
    ),
}
REFUSED: dict[str, Callable[[Store], object]] = {
    "store_claim": store_a_claim,
    "grant_polls": lambda s: s.run(s.claims.grant_polls("p1", WISH)),
}
READ_ONLY = {"cancel_reason", "is_overdue", "read_room", "read_status"}


def test_every_script_is_in_one_of_the_tables():
    """A new script must be added to one of them."""
    scripts = {
        each.name.removesuffix(".lua")
        for each in (files("bridge.store") / "lua").iterdir()
        if each.name.endswith(".lua") and each.name[0] != "_"
    }
    assert scripts == {*GO_ON, *REFUSED, *READ_ONLY}


@pytest.mark.parametrize("name", GO_ON)
def test_the_script_works_at_maxmemory(store, settings, name):
    """Invariant 9: what frees memory or keeps tokens alive works at maxmemory."""
    prepare, call = GO_ON[name]
    prepared = prepare(store)
    with full(settings):
        assert call(store, prepared)


@pytest.mark.parametrize("name", REFUSED)
def test_the_script_is_refused_at_maxmemory(store, settings, name):
    """Nothing new is claimed, since its token could not be stored. The error is an outage."""
    store.worker()
    with full(settings), pytest.raises(StoreUnavailable, match=r"is full .*maxmemory"):
        REFUSED[name](store)
    assert REFUSED[name](store)


@pytest.mark.parametrize("name", sorted(READ_ONLY))
def test_the_script_only_reads(store, settings, name):
    job = store.running()
    args = {
        "cancel_reason": (job.claim_id, "r1"),
        "is_overdue": ("recovery", 1),
        "read_room": (1.25, 250, 4, "resize", "celery", ""),
        "read_status": ("resize",),
    }
    with full(settings):
        take(store, name, *args[name])


def test_a_poller_keeps_its_lease(store, settings):
    """Its open polls may bring tasks, so a health check must not end it."""
    store.worker()
    with full(settings):
        with pytest.raises(StoreUnavailable):
            store.run(store.claims.grant_polls("p1", [Wish("resize", "celery", 3, 1)]))
        assert store.reader.read(["resize"]).pollers == ["p1"]
        assert store.status().polls == 3


def test_everything_in_flight_drains(store, settings):
    """Claims in every state come to their end, and nothing new is claimed meanwhile."""
    aws = Accepting()
    claimed = store.claim("token-claimed", interval_s=0.001)
    queued = store.claim("token-queued", interval_s=0.001)
    store.run(store.claims.mark_queued(queued.job))
    store.running("token-running", interval_s=0.001)
    retried = store.running("token-retried", interval_s=0.001)
    store.jobs.release(retried, run="r1", retry=1, delay_s=0)
    lost = store.running("token-lost", worker="w2", max_attempts=2, interval_s=0.001)
    store.settled("token-settled")
    store.jobs.settle(store.running("token-failed"), FAILED)
    with full(settings):
        store.worker()
        store.run(
            heartbeat.send_due_heartbeats(
                clients=aws, store=store.claims, concurrent_calls=4, on_unfinished=lambda _: None
            )
        )
        assert set(aws.heartbeats) >= {
            "token-claimed",
            "token-queued",
            "token-running",
            "token-retried",
        }
        assert store.jobs.end_lease("w2") == 1
        store.run(recovery.recover(store=store.claims, jobs=store.jobs, dispatcher=aws))
        assert aws.published == [Job(lost.claim_id, 2)]
        for job, retry in [(claimed.job, 0), (queued.job, 0), (retried, 1), (aws.published[0], 0)]:
            assert store.jobs.start(job, retry=retry, worker="w1", run=job.id) is Start.RUN
            assert store.jobs.settle(job, OK) is Settled.STORED
        assert store.jobs.settle(Job(claim_id_of("token-running"), 1), OK) is Settled.STORED
        reporter = Reporter(
            clients=aws, store=store.claims, concurrent_calls=4, on_unfinished=lambda _: None
        )
        store.run(reporter.flush(overdue_s=0))
        assert len(aws.reports) == 7
        assert store.status().in_flight == 0
        with pytest.raises(StoreUnavailable):
            store_a_claim(store)
