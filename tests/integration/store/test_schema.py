"""The schema of a store: which versions may use it, and how others are refused."""

from __future__ import annotations

import pytest
import redis

from bridge.errors import SchemaMismatch, SettingsError, StoreUnavailable
from bridge.healthcheck import Unknown, check
from bridge.store import ClaimStore, Wish, check_schema
from bridge.store.health import read_signs
from bridge.store.schema import SCHEMA
from tests.integration.store.full_server import full
from tests.integration.store.full_server import settings as settings
from tests.integration.store.full_server import valkey as valkey

NEWER, OLDER = str(SCHEMA + 1), str(SCHEMA - 1)
WISH = [Wish("resize", "celery", 0, 1)]

# What processes call again and again: each notices another version that came while it ran.
CALLS = {
    "grant_polls": lambda store: store.run(store.claims.grant_polls("p1", WISH)),
    "renew_lease": lambda store: store.worker("w9"),
    "take_heartbeats": lambda store: store.run(store.claims.take_heartbeats(10)),
    "find_lost": lambda store: store.run(store.claims.find_lost(10)),
    "take_outbox": lambda store: store.run(store.claims.take_outbox(10, hold_s=1)),
    "read_status": lambda store: store.reader.read(["resize"]),
    "signs of life": lambda store: read_signs(store.settings, timeout_s=5),
    "at the start": lambda store: check_schema(store.settings),
    "a look": lambda store: check_schema(store.settings, only_look=True),
}


@pytest.fixture
def admin(settings):
    with redis.Redis.from_url(settings.store_url, decode_responses=True) as client:
        yield client


def stamp(admin, settings, value: str | None = None) -> str | None:
    """The stamp, after it was set to ``value``."""
    if value is not None:
        admin.set(settings.root_key, value)
    return admin.get(settings.root_key)


def test_an_empty_store_gets_the_schema(settings, admin):
    check_schema(settings, only_look=True)
    assert stamp(admin, settings) is None, "status and doctor change nothing"
    check_schema(settings)
    assert stamp(admin, settings) == str(SCHEMA)


def test_a_store_without_a_schema_that_is_in_use_has_the_first_one(store, settings, admin):
    """It gets the new schema once it is drained."""
    job = store.settled()
    admin.delete(settings.root_key, f"{settings.root_key}:workers")
    with pytest.raises(SchemaMismatch, match="has schema 1"):
        check_schema(settings)
    store.run(store.claims.close_claims([job.claim_id], reason="reported"))
    check_schema(settings)
    assert stamp(admin, settings) == str(SCHEMA)


@pytest.mark.parametrize("call", ["grant_polls", "store_claim"])
def test_a_store_that_lost_its_data_gets_the_schema_at_the_first_call(store, settings, admin, call):
    """Without that, this version's keys would count as those of the first schema."""
    if call == "grant_polls":
        store.run(store.claims.grant_polls("p1", WISH))
    else:
        store.claim()
    assert stamp(admin, settings) == str(SCHEMA)
    store.worker()


def test_a_store_that_lost_its_data_gets_the_schema_at_the_next_renewal(store, settings, admin):
    store.worker()
    assert stamp(admin, settings) == str(SCHEMA)


@pytest.mark.parametrize("found", [NEWER, OLDER, "some"])
@pytest.mark.parametrize("call", CALLS)
def test_a_store_in_use_by_another_version_is_refused(store, settings, admin, call, found):
    """Nothing is read or written; the error says what to do."""
    store.claim()
    stamp(admin, settings, found)
    with pytest.raises(SchemaMismatch, match=rf"schema {found}.* needs schema {SCHEMA}.* Drain"):
        CALLS[call](store)
    assert stamp(admin, settings) == found
    assert admin.keys(f"{settings.root_key}:workers") == []
    assert issubclass(SchemaMismatch, SettingsError), "exit status 2"


@pytest.mark.parametrize("found", [NEWER, OLDER])
def test_a_drained_store_gets_the_schema_of_the_next_process(store, settings, admin, found):
    """The error names this way, for an upgrade or a rollback."""
    job = store.settled()
    stamp(admin, settings, found)
    admin.delete(f"{settings.root_key}:workers")
    with pytest.raises(SchemaMismatch):
        check_schema(settings)
    stamp(admin, settings, str(SCHEMA))
    store.run(store.claims.close_claims([job.claim_id], reason="reported"))
    stamp(admin, settings, found)
    check_schema(settings, only_look=True)
    check_schema(settings)
    assert stamp(admin, settings) == str(SCHEMA)


@pytest.mark.parametrize("by", ["worker", "poller"])
def test_a_live_process_of_another_version_keeps_the_store(store, settings, admin, by):
    """It may claim something at any moment."""
    if by == "worker":
        store.worker()
    else:
        store.run(store.claims.grant_polls("p1", WISH))
    stamp(admin, settings, NEWER)
    with pytest.raises(SchemaMismatch):
        check_schema(settings)


def test_a_full_store_without_a_schema_grants_nothing(store, settings):
    """If the schema were written first, Redis would let the script run at maxmemory."""
    with full(settings), pytest.raises(StoreUnavailable, match="is full"):
        store.run(store.claims.grant_polls("p1", WISH))


def test_a_health_check_restarts_nothing_for_another_schema(store, settings, admin, monkeypatch):
    store.claim()
    stamp(admin, settings, NEWER)
    monkeypatch.setenv("BRIDGE_STORE_URL", settings.store_url)
    monkeypatch.setenv("BRIDGE_STORE_PREFIX", settings.store_prefix)
    with pytest.raises(Unknown, match=f"schema {NEWER}"):
        check("worker", 1)


def test_a_poller_ends_when_another_version_takes_its_store(store, settings, admin):
    """The tasks of its open polls could not be stored."""
    from bridge.loops.poller import Poller

    store.claim()
    stamp(admin, settings, NEWER)

    async def main() -> None:
        claims = ClaimStore(settings)
        poller = Poller(
            registry={},
            arns={},
            clients=None,
            store=claims,
            dispatcher=None,
            settings=settings,
            name="p1",
        )
        try:
            with pytest.raises(SchemaMismatch):
                await poller.run()
        finally:
            await claims.close()

    store.run(main())
