"""Passes of heartbeats on a real store, with faults where Step Functions answers."""

from __future__ import annotations

import asyncio

import pytest

from bridge.errors import (
    SettingsError,
    StoreUnavailable,
    Throttled,
    TokenClosed,
)
from bridge.loops import heartbeat
from bridge.metrics import OFF
from bridge.model import Outcome
from bridge.store import ClaimStore
from tests.integration.loops.fakes import Counting, FaultyClient, wait_until_due


def send_due(store, client, unfinished=None, meters=OFF):
    def on_unfinished(job):
        (unfinished if unfinished is not None else []).append(job)

    sending = heartbeat.send_due_heartbeats(
        clients=client,
        store=store.claims,
        concurrent_calls=4,
        on_unfinished=on_unfinished,
        meters=meters,
    )
    return store.run(sending)


class TestHeartbeat:
    def test_due_heartbeats_are_sent_no_more_at_once_than_allowed(self, store):
        for n in range(20):
            store.claim(f"token-{n}", interval_s=0.05)
        wait_until_due(store, 0.06)
        client = FaultyClient()
        assert send_due(store, client).sent == 20
        assert 1 < client.most_at_once <= 4

    def test_two_passes_at_once_send_each_heartbeat_once(self, store):
        store.claim(interval_s=0.5)
        wait_until_due(store, 0.51)
        client = FaultyClient()

        def refuse(job):
            raise AssertionError(job)

        async def both():
            passes = [
                heartbeat.send_due_heartbeats(
                    clients=client, store=store.claims, concurrent_calls=4, on_unfinished=refuse
                )
                for _ in range(2)
            ]
            await asyncio.gather(*passes)

        store.run(both())
        assert len(client.sent) == 1

    def test_a_closed_token_closes_the_claim_and_its_job_is_revoked(self, store):
        job = store.running(interval_s=0.05)
        wait_until_due(store, 0.06)
        unfinished = []
        done = send_due(
            store, FaultyClient(calls=[TokenClosed("gone", code="TaskTimedOut")]), unfinished
        )
        assert (done.closed, unfinished) == (1, [(job, "resize")])
        assert store.status().in_flight == 0

    def test_a_settled_claim_whose_token_is_closed_is_counted_as_reported_too_late(self, store):
        """As if the reporter had heard it: with the name of the error."""
        for token, outcome in {
            "token-1": Outcome(output="1"),
            "token-2": Outcome.failure("Boom", "it broke"),
        }.items():
            store.jobs.settle(store.running(token, interval_s=0.05), outcome)
        wait_until_due(store, 0.06)
        meters = Counting()
        gone = TokenClosed("gone", code="TaskTimedOut")
        send_due(store, FaultyClient(calls=[gone, gone]), meters=meters)
        assert sorted(meters.reports) == [("", False), ("Boom", False)]
        assert store.status().in_flight == 0

    @pytest.mark.parametrize("odd", [ZeroDivisionError("a bug"), SettingsError("no such region")])
    def test_an_unexpected_exception_of_one_stops_no_other(self, store, monkeypatch, odd, caplog):
        """Each heartbeat is for itself; the one comes again before its interval is over."""
        monkeypatch.setattr(heartbeat, "BATCH", 4)
        for n in range(10):
            store.claim(f"token-{n}", interval_s=0.4)
        wait_until_due(store, 0.41)
        done = send_due(store, FaultyClient(calls=[odd]))
        assert (done.sent, done.failed) == (9, 1)
        assert str(odd) in caplog.text
        wait_until_due(store, 0.12)
        assert send_due(store, FaultyClient()).sent == 1

    def test_a_store_that_is_away_for_one_note_does_not_keep_the_others_of_its_batch(self, store):
        """The pass ends then, and says so."""
        for n in range(3):
            store.claim(f"token-{n}", interval_s=0.05)
        wait_until_due(store, 0.06)

        class Away(ClaimStore):
            async def close_claims(self, claim_ids, *, reason):
                raise StoreUnavailable("away")

        async def main():
            claims = Away(store.settings)
            try:
                await heartbeat.send_due_heartbeats(
                    clients=client, store=claims, concurrent_calls=1, on_unfinished=lambda _: None
                )
            finally:
                await claims.close()

        client = FaultyClient(calls=[TokenClosed("gone", code="TaskTimedOut")])
        with pytest.raises(StoreUnavailable):
            store.run(main())
        assert len(client.sent) == 3

    @pytest.mark.parametrize("interval_s", [10 / 3, 0.3333, 1.0001])
    def test_an_interval_may_be_no_whole_number(self, store, interval_s):
        """A quarter of it is a score with a fraction, once its worker's lease has ended."""
        job = store.running(interval_s=interval_s)
        heartbeats = f"{store.settings.root_key}:heartbeats"

        def due_at(score):
            store.jobs._scripts.redis.zadd(heartbeats, {job.claim_id: score})

        due_at(1.25)
        store.jobs.end_lease("w1")
        assert send_due(store, FaultyClient()).sent == 0
        ((_, score),) = store.jobs._scripts.redis.zrange(heartbeats, 0, -1, withscores=True)
        assert score == int(score)
        store.worker()
        due_at(1764241234833.25)  # as an earlier version left it
        assert send_due(store, FaultyClient(calls=[Throttled("slow down")])).failed == 1
        due_at(1)
        assert send_due(store, FaultyClient()).sent == 1

    def test_a_throttled_heartbeat_is_due_again_before_its_interval_is_over(self, store):
        store.claim(interval_s=0.4)
        wait_until_due(store, 0.41)
        client = FaultyClient(calls=[Throttled("slow down")])
        assert send_due(store, client).failed == 1
        assert send_due(store, client).sent == 0  # not at once: that would be a spiral
        wait_until_due(store, 0.12)
        assert send_due(store, client).sent == 1
