"""Each result of the scripts behind ``JobStore``, on a real Valkey."""

from __future__ import annotations

import time
from functools import partial

import pytest

from bridge.model import Claim, Job, Outcome, claim_id_of
from bridge.store import Delivery, Recovery, Settled, Start
from tests import waiting
from tests.fixtures_bridge import NUMBERS

OK = Outcome(output='{"a":1}')
FAILED = Outcome.failure("Boom", "it broke")


wait_until = partial(waiting.wait_until, timeout_s=30.0)


class TestStart:
    def test_the_first_delivery_runs(self, store):
        store.running()
        assert store.status().running == 1

    def test_a_second_delivery_does_not(self, store):
        """Redis delivers again after its visibility timeout; the first run goes on alone."""
        job = store.running()
        store.worker("w2")
        assert store.jobs.start(job, retry=0, worker="w2", run="r2") is Start.RUNNING

    def test_its_own_repeated_call_runs(self, store):
        """An answer that got lost must not keep the job from running."""
        job = store.running()
        assert store.jobs.start(job, retry=0, worker="w1", run="r1") is Start.RUN

    @pytest.mark.parametrize("attempt", [2, 9])
    def test_another_attempt_is_stale(self, store, attempt):
        claim = store.claim()
        store.worker()
        job = Job(claim.claim_id, attempt)
        assert store.jobs.start(job, retry=0, worker="w1", run="r") is Start.STALE

    def test_a_retry_takes_over_from_the_run_that_asked_for_it(self, store):
        """Celery publishes the retry before the asking run has ended."""
        job = store.running()
        assert store.jobs.start(job, retry=1, worker="w1", run="r2") is Start.RUN
        assert store.jobs.release(job, run="r1", retry=1, delay_s=0) is False
        assert store.status().running == 1

    def test_an_old_retry_is_stale(self, store):
        job = store.running()
        store.jobs.release(job, run="r1", retry=1, delay_s=0)
        assert store.jobs.start(job, retry=0, worker="w1", run="r9") is Start.STALE
        assert store.jobs.start(job, retry=1, worker="w1", run="r2") is Start.RUN

    def test_a_worker_without_a_lease_waits(self, store):
        claim = store.claim()
        answer = store.jobs.start(claim.job, retry=0, worker="nobody", run="r")
        assert answer is Start.UNLEASED

    def test_a_settled_claim_does_not_run(self, store):
        job = store.settled()
        assert store.jobs.start(job, retry=0, worker="w1", run="r") is Start.SETTLED

    def test_an_unknown_claim_is_closed(self, store):
        store.worker()
        job = Job(claim_id_of("never seen"), 1)
        assert store.jobs.start(job, retry=0, worker="w1", run="r") is Start.CLOSED


class TestRelease:
    def test_a_released_claim_waits_in_the_queue(self, store):
        job = store.running()
        assert store.jobs.release(job, run="r1", retry=1, delay_s=5) is True
        assert (store.status().running, store.status().queued) == (0, 1)

    def test_another_run_cannot_release_it(self, store):
        job = store.running()
        assert store.jobs.release(job, run="other", retry=1, delay_s=0) is False

    def test_a_retry_that_the_broker_did_not_take_is_published_when_it_is_due(self, store):
        """By recovery, whether or not a worker has room; not before its countdown is over."""
        job = store.running()
        store.jobs.release(job, run="r1", retry=3, delay_s=0.3, published=False)
        take = partial(store.claims.take_unstarted, 10, hold_s=60)
        assert store.run(take()) == []
        (due,) = waiting.wait_until(lambda: store.run(take()), timeout_s=5)
        assert (due.claim.job, due.retry) == (job, 3)
        store.run(store.claims.mark_queued(job))
        store.worker()
        assert store.jobs.start(job, retry=3, worker="w1", run="r2") is Start.RUN

    def test_a_retry_that_was_published_all_the_same_can_start(self, store):
        """The broker took it, and its answer was lost: it may begin before it is released."""
        job = store.running()
        assert store.jobs.start(job, retry=1, worker="w1", run="r2") is Start.RUN
        assert store.jobs.release(job, run="r1", retry=1, delay_s=0, published=False) is False
        assert store.jobs.settle(job, OK) is Settled.STORED


class TestSettle:
    def test_the_outcome_is_in_the_outbox(self, store):
        job = store.running()
        assert store.jobs.settle(job, OK) is Settled.STORED
        due = store.run(store.claims.take_outbox(10, hold_s=60))
        assert [(r.claim_id, r.token, r.outcome) for r in due.reports] == [
            (job.claim_id, "token-1", OK)
        ]

    def test_the_first_outcome_wins(self, store):
        job = store.running()
        store.jobs.settle(job, OK)
        assert store.jobs.settle(job, FAILED) is Settled.SETTLED

    def test_a_stale_failure_is_dropped(self, store):
        job = store.running()
        assert store.jobs.settle(Job(job.claim_id, 9), FAILED) is Settled.STALE
        assert store.status().running == 1

    def test_a_success_counts_whichever_attempt_brings_it(self, store):
        job = store.running()
        assert store.jobs.settle(Job(job.claim_id, 9), OK) is Settled.STORED

    def test_a_job_that_never_started_can_fail(self, store):
        """It was revoked, has expired or is not registered: it never ran."""
        claim = store.claim()
        assert store.jobs.settle(claim.job, FAILED) is Settled.STORED

    def test_a_failure_of_a_delivery_that_never_began_counts_only_while_none_runs(self, store):
        """It counts while the job waits; not while another delivery of it runs."""
        job = store.running()
        assert store.jobs.settle(job, FAILED, of=Delivery.UNBEGUN) is Settled.RUNNING
        waiting = store.claim("token-2")
        assert store.jobs.settle(waiting.job, FAILED, of=Delivery.UNBEGUN) is Settled.STORED

    def test_a_failure_of_a_delivery_that_ran_counts_only_while_one_runs(self, store):
        """A time limit that passed while the job waited for the store, or for its next retry."""
        job = store.running()
        store.jobs.release(job, run="r1", retry=1, delay_s=0)
        assert store.jobs.settle(job, FAILED, of=Delivery.RUNNING) is Settled.WAITING
        assert store.jobs.start(job, retry=1, worker="w1", run="r2") is Start.RUN
        assert store.jobs.settle(job, FAILED, of=Delivery.RUNNING) is Settled.STORED

    def test_a_closed_claim_takes_no_outcome(self, store):
        job = store.running()
        store.run(store.claims.close_claims([job.claim_id], reason="TaskTimedOut"))
        assert store.jobs.settle(job, OK) is Settled.CLOSED

    def test_outcomes_are_counted(self, store):
        store.settled()
        failed = store.running("token-2")
        store.jobs.settle(failed, FAILED)
        store.jobs.settle(failed, FAILED)
        store.run(store.claims.close_claims([failed.claim_id], reason="reported"))
        row = store.status()
        assert (row.succeeded, row.failed) == (1, 1)


class TestLease:
    def test_the_first_lease_is_new_and_then_renewed(self, store):
        renew = store.jobs.renew_lease
        assert renew("w1", number=next(NUMBERS), slots=1, queues=["celery"]).renewed is False
        assert renew("w1", number=next(NUMBERS), slots=1, queues=["celery"]).renewed is True

    def renew(self, store, *claim_ids, worker="w1"):
        return store.jobs.renew_lease(
            worker,
            number=next(NUMBERS),
            slots=4,
            queues=["celery"],
            claim_ids=claim_ids,
            active=claim_ids,
        )

    def test_a_job_that_its_worker_does_not_know_is_forgotten(self, store):
        """Its outcome did not come. It counts at the second renewal; the first may be too early."""
        job = store.running()
        assert self.renew(store, job.claim_id).forgotten == []
        assert self.renew(store).forgotten == []
        assert self.renew(store).forgotten == [job]
        assert (
            store.jobs.recover(job, worker="w1", outcome=FAILED, job_is_gone=True)
            is Recovery.FAILED
        )
        assert self.renew(store).forgotten == []

    def test_a_renewal_that_is_sent_twice_counts_once(self, store):
        """Its answer was lost; a job may have come since."""
        store.running()
        for _ in range(3):
            renewal = store.jobs.renew_lease("w1", number=7, slots=4, queues=["celery"])
            assert renewal.forgotten == []

    def test_a_job_that_was_missing_once_is_not(self, store):
        job = store.running()
        for held in ((), (job.claim_id,), (), (job.claim_id,)):
            assert self.renew(store, *held).forgotten == []

    def test_a_job_whose_claim_is_closed_is_unwanted(self, store):
        """The revocation that was sent then may have been lost."""
        job = store.running()
        assert self.renew(store, job.claim_id).unwanted == set()
        store.run(store.claims.close_claims([job.claim_id], reason="TaskTimedOut"))
        assert self.renew(store, job.claim_id).unwanted == {job.claim_id}

    def test_a_job_that_runs_elsewhere_is_unwanted(self, store):
        job = store.running(max_attempts=2)
        store.jobs.end_lease("w1")
        assert store.jobs.recover(job, worker="w1", outcome=FAILED) is Recovery.AGAIN
        store.worker("w2")
        second = Job(job.claim_id, 2)
        assert store.jobs.start(second, retry=0, worker="w2", run="r2") is Start.RUN
        assert self.renew(store, job.claim_id).unwanted == {job.claim_id}
        assert self.renew(store, job.claim_id, worker="w2").unwanted == set()

    def test_a_worker_that_left_offers_no_slots(self, store):
        store.worker()
        assert store.jobs.end_lease("w1") == 0
        assert store.reader.read([]).workers == []

    def test_a_worker_that_leaves_claims_hands_them_back_at_once(self, store):
        """It is not forgotten; its lease ends, so that the next recovery pass finds its jobs."""
        job = store.running()
        assert store.jobs.end_lease("w1") == 1
        assert wait_until(lambda: store.run(store.claims.find_lost(10))) == [(job, "w1", "resize")]

    def test_workers_that_died_idle_are_forgotten(self, store):
        store.worker("gone")
        wait_until(lambda: store.reader.read([]).workers[0].lease_s < 0)
        store.worker("w2")
        assert store.run(store.claims.find_lost(10)) == []
        assert [w.worker for w in store.reader.read([]).workers] == ["w2"]


class TestRecover:
    def recover(self, store, job, **kwargs):
        """The worker's lease has ended."""
        store.jobs.end_lease("w1")
        return store.jobs.recover(job, worker="w1", outcome=FAILED, **kwargs)

    def test_a_dead_workers_jobs_are_found(self, store):
        job = store.running()
        assert store.run(store.claims.find_lost(10)) == []
        assert wait_until(lambda: store.run(store.claims.find_lost(10))) == [(job, "w1", "resize")]

    def test_no_more_are_found_than_asked_for(self, store):
        for n in range(3):
            store.running(f"token-{n}")
        wait_until(lambda: store.status().lost == 3)
        assert len(store.run(store.claims.find_lost(2))) == 2

    def test_a_claim_that_may_not_run_again_fails(self, store):
        """on_lost="fail": the state machine's Retry decides."""
        job = store.running(max_attempts=1)
        assert self.recover(store, job) is Recovery.FAILED
        due = store.run(store.claims.take_outbox(10, hold_s=60))
        assert [report.outcome for report in due.reports] == [FAILED]

    def test_a_lost_job_runs_again_under_a_new_attempt(self, store):
        """The new attempt starts; the old one, late, does not."""
        job = store.running(max_attempts=2)
        assert self.recover(store, job) is Recovery.AGAIN
        ((claim, retry),) = store.run(store.claims.take_unstarted(10, hold_s=60))
        assert (claim, retry) == (Claim(job.claim_id, "resize", "{}", attempt=2), 0)
        store.worker("w2")
        start = store.jobs.start
        assert start(job, retry=0, worker="w2", run="old") is Start.STALE
        assert start(claim.job, retry=0, worker="w2", run="new") is Start.RUN
        assert store.jobs.settle(job, FAILED) is Settled.STALE
        assert store.jobs.settle(claim.job, OK) is Settled.STORED

    def test_the_attempts_are_counted(self, store):
        """A job that kills its worker each time ends."""
        job = store.running(max_attempts=2)
        assert self.recover(store, job) is Recovery.AGAIN
        second = Job(job.claim_id, 2)
        store.worker()
        store.jobs.start(second, retry=0, worker="w1", run="r2")
        assert self.recover(store, second) is Recovery.FAILED

    def test_a_job_is_not_lost_when_its_worker_has_renewed_meanwhile(self, store):
        """The worker was found dead and then renewed its lease: its jobs still run."""
        job = store.running()
        assert store.jobs.recover(job, worker="w1", outcome=FAILED) is Recovery.MOVED
        assert store.status().running == 1

    def test_no_worker_counts_as_dead_after_a_time_in_which_none_could_renew(self, store):
        """The store was away: live workers have half a lease to renew theirs."""
        store.running()
        assert store.run(store.claims.find_lost(10)) == []
        time.sleep(1.2)  # longer than the lease, and than any pause between two passes
        assert store.run(store.claims.find_lost(10)) == []
        found = wait_until(lambda: store.run(store.claims.find_lost(10)))
        assert [lost.worker for lost in found] == ["w1"]

    def test_a_job_is_recovered_only_once(self, store):
        job = store.running(max_attempts=3)
        assert self.recover(store, job) is Recovery.AGAIN
        assert self.recover(store, job) is Recovery.MOVED

    def test_a_claim_of_another_worker_is_left_alone(self, store):
        job = store.running(max_attempts=3)
        assert store.jobs.recover(job, worker="w9", outcome=FAILED) is Recovery.MOVED
        assert store.status().running == 1

    def test_a_job_that_never_began_is_recovered_only_if_it_is_gone(self, store):
        """The child died between taking the job and starting it."""
        claim = store.claim()
        assert self.recover(store, claim.job) is Recovery.MOVED
        assert self.recover(store, claim.job, job_is_gone=True) is Recovery.FAILED


class TestCancelReason:
    def test_a_run_that_holds_its_claim_has_none(self, store):
        assert store.jobs.cancel_reason(store.running(), run="r1") == ""

    def test_a_closed_claim_has_the_reason_of_its_close(self, store):
        job = store.running()
        store.run(store.claims.close_claims([job.claim_id], reason="TaskTimedOut"))
        assert store.jobs.cancel_reason(job, run="r1") == "TaskTimedOut"

    def test_a_run_is_lost_when_another_holds_the_claim(self, store):
        assert store.jobs.cancel_reason(store.running(), run="r9") == "lost"

    def test_a_claim_that_was_reported_elsewhere(self, store):
        job = store.settled()
        store.run(store.claims.close_claims([job.claim_id], reason="reported"))
        assert store.jobs.cancel_reason(job, run="r1") == "reported"
