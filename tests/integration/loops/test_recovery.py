"""Passes of recovery on a real store, with faults where the broker answers."""

from __future__ import annotations

import asyncio

import pytest

from bridge.loops import recovery
from bridge.loops.dispatcher import BrokerUnavailable, NotPublished, NotRegistered
from bridge.model import Job, claim_id_of
from bridge.store import ClaimStore, JobStore
from tests.integration.loops.fakes import FaultyDispatcher, wait_until_due


class TestRecovery:
    def test_a_claim_that_was_not_dispatched_is_dispatched(self, store):
        claim = store.claim()
        wait_until_due(store, 0.21)
        dispatcher = FaultyDispatcher()
        done = store.run(
            recovery.recover(store=store.claims, jobs=store.jobs, dispatcher=dispatcher)
        )
        assert (done.dispatched, dispatcher.published) == (1, [claim.job])

    def test_a_broker_that_is_away_is_tried_again(self, store, monkeypatch):
        monkeypatch.setattr(recovery, "HOLD_S", 0.05)
        store.claim()
        wait_until_due(store, 0.21)
        dispatcher = FaultyDispatcher(faults=1)

        def dispatched():
            done = recovery.recover(store=store.claims, jobs=store.jobs, dispatcher=dispatcher)
            return store.run(done).dispatched

        assert dispatched() == 0
        wait_until_due(store, 0.06)
        assert dispatched() == 1

    @pytest.mark.parametrize("error", [NotPublished, BrokerUnavailable])
    def test_a_claim_that_the_broker_never_takes_holds_up_no_other(self, store, monkeypatch, error):
        """Its message alone is refused, or breaks its connection, each time and at first."""
        poison = store.claim("token-0")
        wait_until_due(store, 0.05)
        for number in range(1, 10):
            store.claim(f"token-{number}")
        wait_until_due(store, 0.21)

        class Refusing(FaultyDispatcher):
            def publish(self, claim, *, retry=0):
                if claim.claim_id == poison.claim_id:
                    raise error("the broker did not take it")
                super().publish(claim)

        dispatcher = Refusing()
        done = store.run(
            recovery.recover(store=store.claims, jobs=store.jobs, dispatcher=dispatcher)
        )
        assert done.dispatched == len(dispatcher.published) == 9

    def test_an_outage_ends_the_pass(self, store):
        for number in range(10):
            store.claim(f"token-{number}")
        wait_until_due(store, 0.21)
        dispatcher = FaultyDispatcher(faults=10)
        done = store.run(
            recovery.recover(store=store.claims, jobs=store.jobs, dispatcher=dispatcher)
        )
        assert done == recovery.RecoveryCounts()
        assert dispatcher.faults == 10 - recovery.OUTAGES

    def test_a_claim_of_an_unknown_activity_holds_up_no_other(self, store, caplog):
        """The beat process has older code than the poller that claimed it."""
        for token in ("token-1", "token-2"):
            store.claim(token)
        wait_until_due(store, 0.21)

        class Forgetful(FaultyDispatcher):
            def publish(self, claim, *, retry=0):
                if claim.claim_id == claim_id_of("token-1"):
                    raise NotRegistered("no task here has it")
                super().publish(claim)

        done = store.run(
            recovery.recover(store=store.claims, jobs=store.jobs, dispatcher=Forgetful())
        )
        assert done.dispatched == 1
        assert "no task here has it" in caplog.text

    def test_an_unexpected_exception_of_one_claim_holds_up_no_other(self, store, caplog):
        for token in ("token-1", "token-2"):
            store.claim(token)

        class Odd(FaultyDispatcher):
            def publish(self, claim, *, retry=0):
                if claim.claim_id == claim_id_of("token-1"):
                    raise ZeroDivisionError("a bug")
                super().publish(claim)

        class OddJobs(JobStore):
            def recover(self, job, **kwargs):
                if job.claim_id == claim_id_of("token-3"):
                    raise ZeroDivisionError("a bug")
                return super().recover(job, **kwargs)

        for token in ("token-3", "token-4"):
            store.running(token, max_attempts=2)
        wait_until_due(store, 1.1)
        jobs = OddJobs(store.settings)
        done = store.run(recovery.recover(store=store.claims, jobs=jobs, dispatcher=Odd()))
        jobs.close()
        assert (done.again, done.dispatched) == (1, 2)
        assert caplog.text.count("a bug") >= 2

    def test_a_dead_workers_job_runs_again(self, store):
        job = store.running(max_attempts=2)
        wait_until_due(store, 1.1)
        dispatcher = FaultyDispatcher()
        done = store.run(
            recovery.recover(store=store.claims, jobs=store.jobs, dispatcher=dispatcher)
        )
        assert (done.again, dispatcher.published) == (1, [Job(job.claim_id, 2)])

    def test_all_that_a_large_worker_held_is_found_in_one_pass(self, store):
        """However many: each pass that leaves some would add a tick to the bound."""
        count = 2 * recovery.BATCH + 50
        for number in range(count):
            store.running(f"token-{number}", max_attempts=1 + number % 2)
        wait_until_due(store, 1.1)
        dispatcher = FaultyDispatcher()
        done = store.run(
            recovery.recover(store=store.claims, jobs=store.jobs, dispatcher=dispatcher)
        )
        assert (done.again, done.failed, done.dispatched) == (count // 2,) * 3
        assert len({job.claim_id for job in dispatcher.published}) == count // 2

    def test_a_worker_that_is_back_in_the_middle_of_a_pass_ends_it(self, store):
        """Its jobs stay where they are; the pass does not ask for ever."""
        for number in range(recovery.BATCH + 1):
            store.running(f"token-{number}", max_attempts=2)
        wait_until_due(store, 1.1)

        class BackAtOnce(ClaimStore):
            async def find_lost(self, limit):
                lost = await super().find_lost(limit)
                store.worker()
                return lost

        claims, dispatcher = BackAtOnce(store.settings), FaultyDispatcher()

        async def main():
            async with asyncio.timeout(10):
                done = await recovery.recover(store=claims, jobs=store.jobs, dispatcher=dispatcher)
            await claims.close()
            return done

        assert store.run(main()) == recovery.RecoveryCounts()
        assert store.status().running == recovery.BATCH + 1
