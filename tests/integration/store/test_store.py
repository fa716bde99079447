"""Every result of every script, on a real Valkey."""

from __future__ import annotations

import json
import time
from functools import partial

import pytest

from bridge.errors import StoreUnavailable
from bridge.model import Claim, Job, Outcome, claim_id_of
from bridge.settings import Settings
from bridge.store import Delivery, DueHeartbeat, JobStore, PassKind, Recovery, Settled, Start, Wish
from tests import waiting
from tests.fixtures_bridge import NUMBERS

OK = Outcome(output='{"a":1}')
FAILED = Outcome.failure("Boom", "it broke")


wait_until = partial(waiting.wait_until, timeout_s=30.0)


class TestStoreClaim:
    def test_a_stored_claim_is_in_flight(self, store):
        """A claim counts as in flight from the moment that it is stored."""
        store.claim()
        assert store.status().in_flight == 1
        assert store.status().queued == 1

    def test_a_repeated_call_changes_nothing(self, store):
        """An answer that got lost makes redis-py store twice: once is counted."""
        claim = store.claim()
        again = store.claims.store(
            claim,
            token="token-1",
            queue="celery",
            interval_s=10,
            manual=False,
            max_attempts=1,
            poller="p1",
        )
        assert store.run(again) is False
        assert store.status().in_flight == 1

    def test_it_takes_the_slot_of_its_poll(self, store):
        """Poll and claim never count both."""
        store.worker(slots=1)
        wish = [Wish("resize", "celery", 0, 5)]
        assert store.run(store.claims.grant_polls("p1", wish)).polls == [2]  # 1 slot × 1.25
        store.claim()
        assert store.status().polls == 1

    @pytest.mark.parametrize("character", ["T", "ü", "𝄞"])
    def test_a_long_input_of_many_lines_and_its_token_stay_apart(self, store, character):
        """They share a key; the longest of both, counted as Step Functions does."""
        event = json.dumps(["x" * 1_000] * 1_000, indent=1)
        token, event = character * 2_048, event + "\n" * (1_048_576 - len(event))
        claim = store.claim(token, event=event, interval_s=0.01)
        ((taken, _),) = wait_until(lambda: store.run(store.claims.take_unstarted(10, hold_s=60)))
        assert taken == claim
        (beat,) = store.run(store.claims.take_heartbeats(10)).heartbeats
        assert beat.token == token
        store.jobs.settle(claim.job, OK)
        (report,) = store.run(store.claims.take_outbox(10, hold_s=60)).reports
        assert (report.token, report.outcome) == (token, OK)


class TestMarkQueued:
    def test_a_published_claim_is_queued(self, store):
        claim = store.claim()
        assert store.run(store.claims.mark_queued(claim.job)) is True

    def test_a_job_faster_than_the_note_stays_running(self, store):
        """The worker may start the job before the poller notes that it published it."""
        claim = store.claim()
        store.worker()
        assert store.jobs.start(claim.job, retry=0, worker="w1", run="r") is Start.RUN
        assert store.run(store.claims.mark_queued(claim.job)) is False
        assert store.status().running == 1

    def test_several_at_once_each_get_their_own_answer(self, store):
        claims = [store.claim(f"token-{n}") for n in range(3)]
        store.worker()
        assert store.jobs.start(claims[1].job, retry=0, worker="w1", run="r") is Start.RUN
        noted = store.run(store.claims.mark_all_queued([claim.job for claim in claims]))
        assert noted == [True, False, True]
        assert (store.status().queued, store.status().running) == (2, 1)

    def test_an_old_attempt_is_not_noted(self, store):
        claim = store.claim()
        assert store.run(store.claims.mark_queued(Job(claim.claim_id, 7))) is False


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

    def test_it_may_have_been_published_all_the_same(self, store):
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

    def test_a_success_counts_whoever_brings_it(self, store):
        job = store.running()
        assert store.jobs.settle(Job(job.claim_id, 9), OK) is Settled.STORED

    def test_a_job_that_never_started_can_fail(self, store):
        """Revoked, expired, unregistered: nobody ever ran it."""
        claim = store.claim()
        assert store.jobs.settle(claim.job, FAILED) is Settled.STORED

    def test_the_ending_of_a_delivery_that_never_began(self, store):
        """It counts while the job waits; not while another delivery of it runs."""
        job = store.running()
        assert store.jobs.settle(job, FAILED, of=Delivery.UNBEGUN) is Settled.RUNNING
        waiting = store.claim("token-2")
        assert store.jobs.settle(waiting.job, FAILED, of=Delivery.UNBEGUN) is Settled.STORED

    def test_the_ending_of_a_delivery_that_ran(self, store):
        """A time limit that passed while the job waited for the store, or for its next retry."""
        job = store.running()
        store.jobs.release(job, run="r1", retry=1, delay_s=0)
        assert store.jobs.settle(job, FAILED, of=Delivery.RUNNING) is Settled.WAITING
        assert store.jobs.start(job, retry=1, worker="w1", run="r2") is Start.RUN
        assert store.jobs.settle(job, FAILED, of=Delivery.RUNNING) is Settled.STORED

    def test_a_closed_claim_takes_nothing(self, store):
        job = store.running()
        store.run(store.claims.close_claims([job.claim_id], reason="TaskTimedOut"))
        assert store.jobs.settle(job, OK) is Settled.CLOSED

    def test_what_ended_is_counted(self, store):
        store.settled()
        failed = store.running("token-2")
        store.jobs.settle(failed, FAILED)
        store.jobs.settle(failed, FAILED)
        store.run(store.claims.close_claims([failed.claim_id], reason="reported"))
        row = store.status()
        assert (row.succeeded, row.failed) == (1, 1)


class TestOutbox:
    def test_what_is_taken_is_hidden_until_the_hold_ends(self, store):
        """A reporter that dies with an outcome in its hands delays it, no more."""
        store.settled()
        assert len(store.run(store.claims.take_outbox(10, hold_s=0.2)).reports) == 1
        hidden = store.run(store.claims.take_outbox(10, hold_s=0.2))
        assert hidden.reports == []
        assert hidden.next_due_s == pytest.approx(0.2, abs=0.15)
        wait_until(lambda: store.run(store.claims.take_outbox(10, hold_s=60)).reports)

    def test_an_empty_outbox_has_no_next(self, store):
        assert store.run(store.claims.take_outbox(10, hold_s=60)).next_due_s is None

    def test_only_what_is_overdue(self, store):
        store.settled()
        assert store.run(store.claims.take_outbox(10, hold_s=60, overdue_s=30)).reports == []

    def test_the_limit_is_kept(self, store):
        for n in range(3):
            store.settled(f"token-{n}")
        assert len(store.run(store.claims.take_outbox(2, hold_s=60)).reports) == 2

    def test_a_postponed_report_comes_later(self, store):
        job = store.settled()
        store.run(store.claims.take_outbox(10, hold_s=60))
        assert store.run(store.claims.postpone_report(job.claim_id, 0.1)) is True
        wait_until(lambda: store.run(store.claims.take_outbox(10, hold_s=60)).reports)

    def test_nothing_to_postpone(self, store):
        assert store.run(store.claims.postpone_report("0" * 24, 1)) is False

    def test_an_outcome_wakes_one_waiter_once(self, store):
        store.settled("token-1")
        store.settled("token-2")
        assert store.run(store.claims.wait_for_outcome(1)) is True
        assert store.run(store.claims.wait_for_outcome(0.05)) is False


class TestClose:
    def test_a_reported_claim_leaves_nothing_behind(self, store):
        job = store.settled()
        closed = store.run(store.claims.close_claims([job.claim_id], reason="reported"))
        assert closed.unfinished == []
        assert store.status().in_flight == 0
        left = [key.rpartition("}:")[2] for key in store.all_keys()]
        workers = {"classes", "fleet", "held", "offers", "workers"}
        assert {*left} == {f"claim:{job.claim_id}", "ended", "lasted", "oldest", "wake", *workers}

    def test_storing_it_again_afterwards_changes_nothing(self, store):
        """A poller that never heard the answer repeats the call when all is over."""
        job = store.settled()
        store.run(store.claims.close_claims([job.claim_id], reason="reported"))
        again = store.claims.store(
            Claim(job.claim_id, "resize", "{}"),
            token="token-1",
            queue="celery",
            interval_s=10,
            manual=False,
            max_attempts=1,
            poller="p1",
        )
        assert store.run(again) is False
        start = store.jobs.start(job, retry=0, worker=store.worker(), run="r9")
        assert start is Start.CLOSED

    def test_an_unfinished_job_is_named(self, store):
        """Its token was closed elsewhere: the job is to be revoked."""
        job = store.running()
        closed = store.run(store.claims.close_claims([job.claim_id], reason="TaskTimedOut"))
        assert closed.unfinished == [(job, "resize")]
        assert store.status().in_flight == 0

    def ended(self, store, job):
        closed = store.run(store.claims.close_claims([job.claim_id], reason="reported"))
        (ended,) = closed.ended
        assert ended.activity == "resize"
        return ended

    def test_what_was_settled_tells_its_times_and_its_worker(self, store):
        """Each on the store's own clock: until it began, its run, and since its outcome."""
        claim = store.claim()
        store.worker()
        time.sleep(0.03)
        assert store.jobs.start(claim.job, retry=0, worker="w1", run="r") is Start.RUN
        time.sleep(0.06)
        store.jobs.settle(claim.job, OK)
        time.sleep(0.09)
        ended = self.ended(store, claim.job)
        assert ended.worker == "w1"
        assert 0.03 <= ended.waited_s < 1
        assert 0.06 <= ended.ran_s < 1
        assert 0.09 <= ended.unreported_s < 1

    def test_a_retried_job_waited_until_its_first_run_and_ran_for_its_last(self, store):
        job = store.running()
        time.sleep(0.2)
        store.jobs.release(job, run="r1", retry=1, delay_s=0)
        assert store.jobs.start(job, retry=1, worker="w1", run="r2") is Start.RUN
        store.jobs.settle(job, OK)
        ended = self.ended(store, job)
        assert ended.waited_s < 0.2
        assert ended.ran_s < 0.2

    def test_what_was_settled_between_two_runs_has_no_last_one(self, store):
        job = store.running()
        store.jobs.release(job, run="r1", retry=1, delay_s=5)
        store.jobs.settle(job, FAILED, of=Delivery.UNBEGUN)
        assert self.ended(store, job).ran_s is None

    def test_what_never_began_has_only_its_report(self, store):
        claim = store.claim()
        store.jobs.settle(claim.job, FAILED, of=Delivery.UNBEGUN)
        ended = self.ended(store, claim.job)
        assert (ended.worker, ended.waited_s, ended.ran_s) == ("", None, None)
        assert ended.unreported_s >= 0

    def test_closing_twice_tells_them_once(self, store):
        job = store.settled()
        self.ended(store, job)
        closed = store.run(store.claims.close_claims([job.claim_id], reason="reported"))
        assert closed.ended == []

    def test_closing_twice_names_nothing(self, store):
        job = store.running()
        store.run(store.claims.close_claims([job.claim_id], reason="TaskTimedOut"))
        closed = store.run(store.claims.close_claims([job.claim_id], reason="TaskTimedOut"))
        assert closed.unfinished == []
        assert store.status().in_flight == 0


class TestHeartbeats:
    def due(self, store, limit=10):
        return store.run(store.claims.take_heartbeats(limit))

    def test_nothing_before_the_interval_is_over(self, store):
        store.claim(interval_s=30)
        assert self.due(store).heartbeats == []

    def test_a_waiting_job_is_beaten_within_its_patience(self, store):
        store.claim(interval_s=0.01)
        beats = wait_until(lambda: self.due(store).heartbeats)
        assert [(b.token, b.interval_s) for b in beats] == [("token-1", 0.01)]

    def test_a_job_that_waits_too_long_is_given_up(self, store):
        impatient = store.settings.model_copy(update={"patience_s": 0.01})
        store.claims._settings = impatient
        store.claim(interval_s=0.05)
        due = wait_until(lambda: (d := self.due(store)).looked and d)
        assert due.heartbeats == []

    def test_a_running_job_is_beaten_while_its_worker_has_a_lease(self, store):
        store.running(interval_s=0.05)
        assert wait_until(lambda: self.due(store).heartbeats)

    def test_a_dead_workers_token_is_never_beaten(self, store):
        """Nobody renews the lease any more: not one beat after its end."""
        store.running(interval_s=0.05)
        wait_until(lambda: store.status().lost == 1)
        due = wait_until(lambda: (d := self.due(store)).looked and d)
        assert due.heartbeats == []

    def test_an_outcome_in_the_outbox_is_beaten(self, store):
        """AWS is away, the job is done: its token must live until the report is taken."""
        store.settled(interval_s=0.05)
        wait_until(lambda: store.reader.read([]).workers[0].lease_s < 0)
        assert wait_until(lambda: self.due(store).heartbeats)

    def test_two_passes_never_double_a_beat(self, store):
        store.claim(interval_s=0.5)
        assert wait_until(lambda: self.due(store).heartbeats)
        assert self.due(store).looked == 0

    def test_a_manual_job_is_beaten_only_while_it_says_so(self, store):
        job = store.running(interval_s=0.1, manual=True)
        assert wait_until(lambda: self.due(store).heartbeats)
        store.worker()
        silent = wait_until(lambda: (d := self.due(store)).looked and not d.heartbeats)
        assert silent
        assert store.jobs.keep_alive(job, run="r1") is True
        store.worker()
        assert wait_until(lambda: self.due(store).heartbeats)

    def test_a_run_without_its_claim_cannot_say_so(self, store):
        job = store.running(manual=True)
        assert store.jobs.keep_alive(job, run="other") is False

    def test_a_job_that_waits_past_its_patience_is_given_up(self, store, monkeypatch):
        """Nobody would speak for it, nor hear that its token is closed."""
        patient = store.settings.model_copy(update={"patience_s": 0.05})
        monkeypatch.setattr(store.claims, "_settings", patient)
        claim = store.claim(interval_s=0.1)
        store.run(store.claims.mark_queued(claim.job))
        due = wait_until(lambda: (found := self.due(store)).given_up and found)
        assert due.given_up == [(claim.job, "resize")]
        assert due.heartbeats == []
        (report,) = store.run(store.claims.take_outbox(10, hold_s=60)).reports
        assert report.outcome.error == "Bridge.NotStarted"
        start = store.jobs.start(claim.job, retry=0, worker=store.worker(), run="late")
        assert start is Start.SETTLED

    def test_a_job_without_manual_heartbeats_may_be_silent_again(self, store):
        """It called heartbeat() once; from then on its worker speaks for it, as before."""
        job = store.running(interval_s=0.05)
        assert store.jobs.keep_alive(job, run="r1") is True
        time.sleep(0.4)
        store.worker()
        due = self.due(store)
        assert (len(due.heartbeats), due.given_up) == (1, [])

    def test_a_manual_job_that_is_silent_for_long_is_given_up(self, store):
        job = store.running(interval_s=0.1, manual=True)
        given_up = []
        while not given_up:
            store.worker()
            given_up = self.due(store).given_up
        assert given_up == [(job, "resize")]
        (report,) = store.run(store.claims.take_outbox(10, hold_s=60)).reports
        assert report.outcome.error == "Bridge.HeartbeatLost"

    def test_a_failed_beat_is_hastened(self, store):
        claim = store.claim(interval_s=60)
        beat = DueHeartbeat(claim.claim_id, "token-1", 60, missed_ms=1, activity="resize")
        assert store.run(store.claims.retry_heartbeat(beat, 0.01)) is True
        (again,) = wait_until(lambda: self.due(store).heartbeats)
        assert again.missed_ms == 1, "how long it has been waiting for is remembered"

    def test_hastening_never_delays(self, store):
        claim = store.claim(interval_s=1)
        beat = DueHeartbeat(claim.claim_id, "token-1", 1, missed_ms=1, activity="resize")
        assert store.run(store.claims.retry_heartbeat(beat, 60)) is False

    def test_what_has_been_missing_for_longer_is_more_urgent(self, store):
        """By the end of three intervals: the shorter the interval, the less time is left."""
        beat = DueHeartbeat("a", "t", interval_s=10, missed_ms=50_000, activity="resize")
        assert (
            beat.urgency_ms
            < DueHeartbeat("b", "t", interval_s=10, missed_ms=60_000, activity="resize").urgency_ms
        )
        assert (
            beat.urgency_ms
            > DueHeartbeat("c", "t", interval_s=1, missed_ms=60_000, activity="resize").urgency_ms
        )

    def test_a_pass_is_overdue_until_somebody_begins_one(self, store):
        assert store.run(store.claims.is_overdue(PassKind.HEARTBEAT, 0.1)) is True
        self.due(store)
        assert store.run(store.claims.is_overdue(PassKind.HEARTBEAT, 10)) is False
        assert store.run(store.claims.is_overdue(PassKind.RECOVERY, 10)) is True
        store.run(store.claims.find_lost(10))
        assert store.run(store.claims.is_overdue(PassKind.RECOVERY, 10)) is False
        assert wait_until(lambda: store.run(store.claims.is_overdue(PassKind.HEARTBEAT, 0.1)))

    def test_a_pass_of_beat_is_told_from_those_of_who_stands_in(self, store):
        self.due(store)
        overdue = store.claims.is_overdue
        assert store.run(overdue(PassKind.HEARTBEAT, 10, of_beat=True)) is True
        store.run(store.claims.note_beat_pass(PassKind.HEARTBEAT))
        assert store.run(overdue(PassKind.HEARTBEAT, 10, of_beat=True)) is False
        assert store.run(overdue(PassKind.RECOVERY, 10, of_beat=True)) is True

    def test_a_closed_claim_is_not_due(self, store):
        claim = store.claim(interval_s=0.01)
        store.run(store.claims.close_claims([claim.claim_id], reason="TaskTimedOut"))
        assert self.due(store).looked == 0


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
        """Its ending reached nobody; at the second renewal, for the first may be too early."""
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
        """It cannot vanish; its lease ends, so that the next sweep finds what it ran."""
        job = store.running()
        assert store.jobs.end_lease("w1") == 1
        assert wait_until(lambda: store.run(store.claims.find_lost(10))) == [(job, "w1", "resize")]

    def test_workers_that_died_idle_are_forgotten(self, store):
        store.worker("gone")
        wait_until(lambda: store.reader.read([]).workers[0].lease_s < 0)
        store.worker("w2")
        assert store.run(store.claims.find_lost(10)) == []
        assert [w.worker for w in store.reader.read([]).workers] == ["w2"]


class TestLost:
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

    def test_it_fails_when_it_may_not_run_again(self, store):
        """on_lost="fail": the state machine's Retry decides."""
        job = store.running(max_attempts=1)
        assert self.recover(store, job) is Recovery.FAILED
        due = store.run(store.claims.take_outbox(10, hold_s=60))
        assert [report.outcome for report in due.reports] == [FAILED]

    def test_it_runs_again_under_a_new_attempt(self, store):
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

    def test_not_when_its_worker_has_renewed_meanwhile(self, store):
        """Found, and then it came back: its jobs are well."""
        job = store.running()
        assert store.jobs.recover(job, worker="w1", outcome=FAILED) is Recovery.MOVED
        assert store.status().running == 1

    def test_nobody_is_judged_after_a_time_in_which_nobody_could_renew(self, store):
        """The store was away: half a lease for the living to say so."""
        store.running()
        assert store.run(store.claims.find_lost(10)) == []
        time.sleep(1.2)  # longer than the lease, and than any pause between two passes
        assert store.run(store.claims.find_lost(10)) == []
        found = wait_until(lambda: store.run(store.claims.find_lost(10)))
        assert [lost.worker for lost in found] == ["w1"]

    def test_only_once(self, store):
        job = store.running(max_attempts=3)
        assert self.recover(store, job) is Recovery.AGAIN
        assert self.recover(store, job) is Recovery.MOVED

    def test_a_claim_of_another_worker_is_left_alone(self, store):
        job = store.running(max_attempts=3)
        assert store.jobs.recover(job, worker="w9", outcome=FAILED) is Recovery.MOVED
        assert store.status().running == 1

    def test_a_job_that_never_began(self, store):
        """The child died between taking the job and starting it."""
        claim = store.claim()
        assert self.recover(store, claim.job) is Recovery.MOVED
        assert self.recover(store, claim.job, job_is_gone=True) is Recovery.FAILED


class TestUnstarted:
    def take(self, store):
        return [claim for claim, _ in store.run(store.claims.take_unstarted(10, hold_s=60))]

    def test_a_poller_that_died_before_dispatch(self, store):
        claim = store.claim(event='{"n": 1}')
        assert self.take(store) == []
        assert wait_until(lambda: self.take(store)) == [claim]
        assert self.take(store) == []

    def test_a_dispatched_claim_is_none(self, store):
        claim = store.claim()
        store.run(store.claims.mark_queued(claim.job))
        time.sleep(0.3)
        assert self.take(store) == []

    def test_a_closed_claim_is_none(self, store):
        claim = store.claim()
        store.run(store.claims.close_claims([claim.claim_id], reason="TaskTimedOut"))
        time.sleep(0.3)
        assert self.take(store) == []


class TestLostMessage:
    """A job that was published and does not start: its message may be in no queue any more."""

    def take(self, store):
        """Take them, and publish them anew."""
        taken = store.run(store.claims.take_unstarted(10, hold_s=60))
        for claim, _ in taken:
            store.run(store.claims.mark_queued(claim.job))
        return taken

    def queued(self, store, **kwargs):
        claim = store.claim(**kwargs)
        store.run(store.claims.mark_queued(claim.job))
        return claim

    def overdue(self, store):
        """Wait until the grace of one lease is over."""
        time.sleep(store.settings.lease_s + 0.1)

    def test_it_is_published_anew_when_a_worker_has_room(self, store):
        claim = self.queued(store)
        store.worker()
        assert self.take(store) == []
        self.overdue(store)
        store.worker()
        assert self.take(store) == [(claim, 0)]
        assert self.take(store) == [], "not at each sweep"

    def test_ever_more_rarely(self, store):
        self.queued(store)
        for _ in range(2):
            self.overdue(store)
            store.worker()
            assert len(self.take(store)) == 1
        self.overdue(store)
        store.worker()
        assert self.take(store) == []

    def test_at_the_next_sweep_when_it_could_not_be_published(self, store):
        """The broker is away: no patience is spent on that."""
        self.queued(store)
        self.overdue(store)
        store.worker()
        assert len(store.run(store.claims.take_unstarted(10, hold_s=0.05))) == 1
        assert wait_until(lambda: store.run(store.claims.take_unstarted(10, hold_s=60)))

    def test_not_while_nobody_has_room(self, store):
        self.queued(store)
        self.overdue(store)
        assert self.take(store) == [], "no worker"
        self.overdue(store)
        store.jobs.renew_lease(
            "w1", number=next(NUMBERS), slots=2, queues=["celery"], fetches=False
        )
        assert self.take(store) == [], "it runs other Celery tasks"
        self.overdue(store)
        store.jobs.renew_lease("w1", number=next(NUMBERS), slots=2, queues=["other"])
        assert self.take(store) == [], "it serves another queue"

    def test_not_while_a_worker_has_it(self, store):
        """Behind a rate limit, for example; or it waits there for its countdown."""
        claim = self.queued(store)
        self.overdue(store)
        store.jobs.renew_lease(
            "w1", number=next(NUMBERS), slots=2, queues=["celery"], claim_ids=[claim.claim_id]
        )
        assert self.take(store) == []

    def test_not_once_it_has_started(self, store):
        store.running()
        self.overdue(store)
        store.worker()
        assert self.take(store) == []

    def test_a_retry_whose_message_is_lost_comes_as_that_retry(self, store):
        job = store.running()
        assert store.jobs.release(job, run="r1", retry=2, delay_s=0.1)
        store.worker()
        assert self.take(store) == []
        self.overdue(store)
        store.worker()
        ((claim, retry),) = wait_until(lambda: self.take(store))
        assert (claim.job, retry) == (job, 2)
        start = store.jobs.start
        assert start(job, retry=1, worker="w1", run="late") is Start.STALE
        assert start(job, retry=2, worker="w1", run="new") is Start.RUN
        assert start(job, retry=2, worker="w1", run="the first, after all") is Start.RUNNING


class TestAsk:
    def test_a_run_that_is_wanted(self, store):
        assert store.jobs.cancel_reason(store.running(), run="r1") == ""

    def test_a_closed_claim_says_why(self, store):
        job = store.running()
        store.run(store.claims.close_claims([job.claim_id], reason="TaskTimedOut"))
        assert store.jobs.cancel_reason(job, run="r1") == "TaskTimedOut"

    def test_another_run_holds_it(self, store):
        assert store.jobs.cancel_reason(store.running(), run="r9") == "lost"

    def test_it_has_ended_elsewhere(self, store):
        job = store.settled()
        store.run(store.claims.close_claims([job.claim_id], reason="reported"))
        assert store.jobs.cancel_reason(job, run="r1") == "reported"


class TestGrantPolls:
    def test_none_while_what_matters_more_is_throttled(self, store):
        store.worker(slots=4)
        store.run(store.claims.hold_polls([""], 0.3))
        grant = self.grant(store, Wish("resize", "celery", 0, 3))
        assert (grant.slots, grant.polls) == (4, [0])
        assert wait_until(lambda: self.grant(store, Wish("resize", "celery", 0, 3)).polls == [3])

    def test_a_region_that_throttles_holds_up_no_other(self, store):
        store.worker(slots=4)
        store.run(store.claims.hold_polls(["eu-west-1/"]))
        there = Wish("far", "celery", 0, 2, place="eu-west-1/")
        assert self.grant(store, there, Wish("near", "celery", 0, 2)).polls == [0, 2]

    def grant(self, store, *wishes: Wish, poller="p1"):
        return store.run(store.claims.grant_polls(poller, wishes))

    def test_no_worker_no_poll(self, store):
        grant = self.grant(store, Wish("resize", "celery", 0, 5))
        assert (grant.slots, grant.polls) == (0, [0])

    def test_a_worker_of_another_queue_is_no_worker(self, store):
        store.worker(queues=["images"])
        assert self.grant(store, Wish("resize", "celery", 0, 5)).polls == [0]

    def test_slots_times_look_ahead(self, store):
        store.worker(slots=4)
        grant = self.grant(store, Wish("resize", "celery", 0, 50))
        assert (grant.slots, grant.polls) == (4, [5])

    def test_claims_in_flight_take_slots(self, store):
        store.worker(slots=4)
        for n in range(3):
            store.claim(f"token-{n}")
        assert self.grant(store, Wish("resize", "celery", 0, 50)).polls == [2]

    def test_settled_claims_take_no_slot(self, store):
        """Nothing runs, nothing waits: only a report is to be sent."""
        store.worker(slots=4)
        store.settled()
        assert self.grant(store, Wish("other", "celery", 0, 50)).polls == [5]

    def test_polls_that_are_open_take_slots(self, store):
        store.worker(slots=4)
        self.grant(store, Wish("resize", "celery", 0, 3))
        assert self.grant(store, Wish("resize", "celery", 3, 50)).polls == [2]

    def test_a_grant_repeated_is_not_a_grant_doubled(self, store):
        """The answer got lost: the poller says again that it has none open."""
        store.worker(slots=4)
        assert self.grant(store, Wish("resize", "celery", 0, 5)).polls == [5]
        assert self.grant(store, Wish("resize", "celery", 0, 5)).polls == [5]

    def test_activities_share_fairly(self, store):
        store.worker(slots=8)
        polls = self.grant(store, Wish("a", "celery", 0, 50), Wish("b", "celery", 0, 50)).polls
        assert polls == [5, 5]

    def test_pollers_share_fairly(self, store):
        """Another poller is alive: half of what is free is left to it."""
        store.worker(slots=8)
        self.grant(store, Wish("resize", "celery", 0, 0), poller="p2")
        assert self.grant(store, Wish("resize", "celery", 0, 50)).polls == [5]
        assert self.grant(store, Wish("resize", "celery", 0, 50), poller="p2").polls == [5]

    def test_a_dead_pollers_polls_hold_no_slots(self, store):
        store.worker(slots=4)
        self.grant(store, Wish("resize", "celery", 0, 50), poller="dead")
        wait_until(lambda: store.reader.read([]).pollers == [])
        store.worker(slots=4)
        assert self.grant(store, Wish("resize", "celery", 0, 50)).polls == [5]

    def test_a_withdrawn_pollers_polls_hold_no_slots(self, store):
        store.worker(slots=4)
        self.grant(store, Wish("resize", "celery", 0, 50), poller="p2")
        assert store.run(store.claims.withdraw_poller("p2")) is True
        assert store.run(store.claims.withdraw_poller("p2")) is False
        assert self.grant(store, Wish("resize", "celery", 0, 50)).polls == [5]

    def test_one_queues_load_does_not_starve_anothers_workers(self, store):
        """w2 serves both queues: what is free for a depends on what b needs, and no more."""
        store.worker("w1", slots=8, queues=["a"])
        store.worker("w2", slots=4, queues=["a", "b"])
        for n in range(10):
            store.claim(f"token-{n}", activity="a", queue="a")
        assert self.grant(store, Wish("b", "b", 0, 50)).polls == [5]
        assert self.grant(store, Wish("a", "a", 0, 50), Wish("b", "b", 5, 0)).polls == [0, 0]

    def test_claims_of_a_queue_without_workers_take_nobodys_slots(self, store):
        store.claim(queue="orphaned")
        store.worker(slots=4)
        assert self.grant(store, Wish("resize", "celery", 0, 50)).polls == [5]

    def test_many_groups_of_workers(self, store):
        """More groups than can be held against one another: never more than all slots."""
        for n in range(10):
            store.worker(f"w{n}", slots=4, queues=[f"q{n}", "shared"])
        wishes = [Wish(f"a{n}", f"q{n}", 0, 50) for n in range(10)]
        assert self.grant(store, *wishes).polls == [5] * 10
        assert self.grant(store, Wish("s", "shared", 0, 50)).polls == [50]
        assert self.grant(store, Wish("s", "shared", 50, 0), Wish("a0", "q0", 0, 5)).polls == [0, 0]


class TestUnreachable:
    def test_a_store_that_is_away_says_so_without_its_password(self):
        """The error names the server and what stops, never the secret."""
        jobs = JobStore(Settings(store_url="redis://:s3cret@127.0.0.1:1/0"))
        with pytest.raises(StoreUnavailable, match=r"redis://:\*\*\*@127\.0\.0\.1:1/0") as caught:
            jobs.end_lease("w1")
        assert "s3cret" not in str(caught.value)
        assert caught.value.retryable

    def test_replicas_that_are_missing(self, store, valkey):
        """On the real server: the call can be repeated, and then it works."""
        import redis

        claim = store.claim()
        store.worker()
        with redis.Redis.from_url(valkey.url) as admin:
            admin.config_set("min-replicas-to-write", 1)
            try:
                with pytest.raises(StoreUnavailable, match="NOREPLICAS"):
                    store.jobs.settle(claim.job, OK)
            finally:
                admin.config_set("min-replicas-to-write", 0)
        assert store.jobs.settle(claim.job, OK) is Settled.STORED
