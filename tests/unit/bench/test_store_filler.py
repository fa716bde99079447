"""The store takes the filler's claims for its own."""

from __future__ import annotations

import asyncio

import pytest

from bench.store_filler import Filler, settings_of
from bench.stub import TOKEN_BYTES
from bridge.local.valkey import LocalValkey
from bridge.store import ClaimStore, StatusReader


@pytest.fixture(scope="module")
def valkey():
    with LocalValkey() as server:
        yield server


def test_filled_claims_run_or_wait_as_asked(valkey):
    """They are spread evenly over the activities and the announced workers."""
    settings = settings_of(valkey.url, "filled")
    filler = Filler(settings)
    filler.announce(2)
    filler.fill(1_000, activities=["a", "b"], workers=2)
    filler.fill(300, activities=["a"], running=False)
    reader = StatusReader(settings)
    status = reader.read(["a", "b"])
    reader.close()
    task = filler.redis.get("{filled}:task:" + "0" * 24)
    filler.close()
    assert [(row.running, row.queued) for row in status.activities] == [(500, 300), (500, 0)]
    assert [worker.running for worker in status.workers] == [500, 500]
    if task is not None:  # the store may keep the token elsewhere
        assert len(task.partition(b"\n")[0]) == TOKEN_BYTES


def test_only_the_chosen_claims_are_made_due(valkey):
    """They are due at once, although their heartbeat interval is an hour."""
    settings = settings_of(valkey.url, "due")
    filler = Filler(settings)
    filler.announce(1)
    ids = filler.fill(20, activities=["a"])
    filler.make_due(ids[:7])
    filler.close()

    async def take():
        store = ClaimStore(settings)
        due = await store.take_heartbeats(100)
        await store.close()
        return due

    assert sorted(due.claim_id for due in asyncio.run(take()).heartbeats) == ids[:7]
