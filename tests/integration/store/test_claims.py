"""Each result of the scripts behind ``ClaimStore``, on a real Valkey."""

from __future__ import annotations

import json
import time
from functools import partial

import pytest

from bridge.model import Claim, Job, Outcome
from bridge.store import Delivery, DueHeartbeat, PassKind, Start, Wish
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
        """After a lost answer redis-py sends the call again: the claim is counted once."""
        claim = store.claim()
        assert store.store(claim) is False
        assert store.status().in_flight == 1

    def test_a_claim_takes_the_slot_of_its_poll(self, store):
        """The poll and its claim never both count."""
        store.worker(slots=1)
        wish = [Wish("resize", "celery", 0, 5)]
        assert store.run(store.claims.grant_polls("p1", wish)).polls == [2]  # 1 slot × 1.25
        store.claim()
        assert store.status().polls == 1

    @pytest.mark.parametrize("character", ["T", "ü", "𝄞"])
    def test_a_long_input_of_many_lines_and_its_token_stay_apart(self, store, character):
        """They share a key; both are as long as Step Functions allows."""
        event = json.dumps(["x" * 1_000] * 1_000, indent=1)
        token, event = character * 2_048, event + "\n" * (1_048_576 - len(event))
        claim = store.claim(token, event=event, interval_s=0.01)
        ((taken, _),) = wait_until(lambda: store.run(store.claims.take_unstarted(10, hold_s=60)))
        assert taken == claim
        (due,) = store.run(store.claims.take_heartbeats(10)).heartbeats
        assert due.token == token
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


class TestOutbox:
    def test_a_taken_outcome_is_hidden_until_the_hold_ends(self, store):
        """A reporter that dies with an outcome in its hands delays it, no more."""
        store.settled()
        assert len(store.run(store.claims.take_outbox(10, hold_s=0.2)).reports) == 1
        hidden = store.run(store.claims.take_outbox(10, hold_s=0.2))
        assert hidden.reports == []
        assert hidden.next_due_s == pytest.approx(0.2, abs=0.15)
        wait_until(lambda: store.run(store.claims.take_outbox(10, hold_s=60)).reports)

    def test_an_empty_outbox_has_no_next_due_time(self, store):
        assert store.run(store.claims.take_outbox(10, hold_s=60)).next_due_s is None

    def test_only_overdue_outcomes_are_taken(self, store):
        store.settled()
        assert store.run(store.claims.take_outbox(10, hold_s=60, overdue_s=30)).reports == []

    def test_no_more_outcomes_are_taken_than_the_limit(self, store):
        for n in range(3):
            store.settled(f"token-{n}")
        assert len(store.run(store.claims.take_outbox(2, hold_s=60)).reports) == 2

    def test_a_postponed_report_comes_later(self, store):
        job = store.settled()
        store.run(store.claims.take_outbox(10, hold_s=60))
        assert store.run(store.claims.postpone_report(job.claim_id, 0.1)) is True
        wait_until(lambda: store.run(store.claims.take_outbox(10, hold_s=60)).reports)

    def test_a_report_that_is_not_in_the_outbox_cannot_be_postponed(self, store):
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
        assert store.store(Claim(job.claim_id, "resize", "{}")) is False
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

    def test_a_settled_claim_has_its_times_and_its_worker(self, store):
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

    def test_a_claim_settled_between_two_runs_has_no_last_run(self, store):
        job = store.running()
        store.jobs.release(job, run="r1", retry=1, delay_s=5)
        store.jobs.settle(job, FAILED, of=Delivery.UNBEGUN)
        assert self.ended(store, job).ran_s is None

    def test_a_claim_that_never_ran_has_only_the_time_of_its_report(self, store):
        claim = store.claim()
        store.jobs.settle(claim.job, FAILED, of=Delivery.UNBEGUN)
        ended = self.ended(store, claim.job)
        assert (ended.worker, ended.waited_s, ended.ran_s) == ("", None, None)
        assert ended.unreported_s >= 0

    def test_closing_twice_answers_the_times_once(self, store):
        job = store.settled()
        self.ended(store, job)
        closed = store.run(store.claims.close_claims([job.claim_id], reason="reported"))
        assert closed.ended == []

    def test_closing_twice_names_no_job_again(self, store):
        job = store.running()
        store.run(store.claims.close_claims([job.claim_id], reason="TaskTimedOut"))
        closed = store.run(store.claims.close_claims([job.claim_id], reason="TaskTimedOut"))
        assert closed.unfinished == []
        assert store.status().in_flight == 0


def due_heartbeat(claim_id: str, *, interval_s: float, missed_ms: int) -> DueHeartbeat:
    return DueHeartbeat(
        claim_id=claim_id,
        token="token-1",
        interval_s=interval_s,
        missed_ms=missed_ms,
        activity="resize",
    )


class TestHeartbeats:
    def due(self, store, limit=10):
        return store.run(store.claims.take_heartbeats(limit))

    def test_no_heartbeat_is_due_before_the_interval_is_over(self, store):
        store.claim(interval_s=30)
        assert self.due(store).heartbeats == []

    def test_a_waiting_job_has_heartbeats_within_its_patience(self, store):
        store.claim(interval_s=0.01)
        due = wait_until(lambda: self.due(store).heartbeats)
        assert [(each.token, each.interval_s) for each in due] == [("token-1", 0.01)]

    def test_a_job_that_waits_too_long_has_no_heartbeat(self, store):
        impatient = store.settings.model_copy(update={"patience_s": 0.01})
        store.claims._settings = impatient
        store.claim(interval_s=0.05)
        due = wait_until(lambda: (d := self.due(store)).looked and d)
        assert due.heartbeats == []

    def test_a_running_job_has_heartbeats_while_its_worker_has_a_lease(self, store):
        store.running(interval_s=0.05)
        assert wait_until(lambda: self.due(store).heartbeats)

    def test_a_dead_workers_token_has_no_heartbeat(self, store):
        """The lease is not renewed any more: there is no heartbeat after its end."""
        store.running(interval_s=0.05)
        wait_until(lambda: store.status().lost == 1)
        due = wait_until(lambda: (d := self.due(store)).looked and d)
        assert due.heartbeats == []

    def test_an_outcome_in_the_outbox_has_heartbeats(self, store):
        """AWS is away, the job is done: its token must live until the report is taken."""
        store.settled(interval_s=0.05)
        wait_until(lambda: store.reader.read([]).workers[0].lease_s < 0)
        assert wait_until(lambda: self.due(store).heartbeats)

    def test_two_passes_never_double_a_heartbeat(self, store):
        store.claim(interval_s=0.5)
        assert wait_until(lambda: self.due(store).heartbeats)
        assert self.due(store).looked == 0

    def test_a_manual_job_has_heartbeats_only_while_it_calls_heartbeat(self, store):
        job = store.running(interval_s=0.1, manual=True)
        assert wait_until(lambda: self.due(store).heartbeats)
        store.worker()
        silent = wait_until(lambda: (d := self.due(store)).looked and not d.heartbeats)
        assert silent
        assert store.jobs.keep_alive(job, run="r1") is True
        store.worker()
        assert wait_until(lambda: self.due(store).heartbeats)

    def test_a_run_without_its_claim_cannot_keep_it_alive(self, store):
        job = store.running(manual=True)
        assert store.jobs.keep_alive(job, run="other") is False

    def test_a_job_that_waits_past_its_patience_is_failed(self, store, monkeypatch):
        """No heartbeat is sent for it any more, so no answer would say that its token is closed."""
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
        """It called heartbeat() once; its worker's lease still keeps its token alive."""
        job = store.running(interval_s=0.05)
        assert store.jobs.keep_alive(job, run="r1") is True
        time.sleep(0.4)
        store.worker()
        due = self.due(store)
        assert (len(due.heartbeats), due.given_up) == (1, [])

    def test_a_manual_job_that_is_silent_for_long_is_failed(self, store):
        job = store.running(interval_s=0.1, manual=True)
        given_up = []
        while not given_up:
            store.worker()
            given_up = self.due(store).given_up
        assert given_up == [(job, "resize")]
        (report,) = store.run(store.claims.take_outbox(10, hold_s=60)).reports
        assert report.outcome.error == "Bridge.HeartbeatLost"

    def test_a_failed_heartbeat_is_due_again_soon(self, store):
        claim = store.claim(interval_s=60)
        failed = due_heartbeat(claim.claim_id, interval_s=60, missed_ms=1)
        assert store.run(store.claims.retry_heartbeat(failed, 0.01)) is True
        (again,) = wait_until(lambda: self.due(store).heartbeats)
        assert again.missed_ms == 1, "how long it has been waiting for is remembered"

    def test_a_retry_never_delays_a_heartbeat(self, store):
        claim = store.claim(interval_s=1)
        failed = due_heartbeat(claim.claim_id, interval_s=1, missed_ms=1)
        assert store.run(store.claims.retry_heartbeat(failed, 60)) is False

    def test_a_heartbeat_that_has_been_missing_for_longer_is_more_urgent(self, store):
        """Each has until the end of three intervals: a shorter interval leaves less time."""
        first = due_heartbeat("a", interval_s=10, missed_ms=50_000)
        later = due_heartbeat("b", interval_s=10, missed_ms=60_000)
        later_with_less_time = due_heartbeat("c", interval_s=1, missed_ms=60_000)
        assert first.urgency_ms < later.urgency_ms
        assert first.urgency_ms > later_with_less_time.urgency_ms

    def test_a_pass_is_overdue_until_one_begins(self, store):
        assert store.run(store.claims.is_overdue(PassKind.HEARTBEAT, 0.1)) is True
        self.due(store)
        assert store.run(store.claims.is_overdue(PassKind.HEARTBEAT, 10)) is False
        assert store.run(store.claims.is_overdue(PassKind.RECOVERY, 10)) is True
        store.run(store.claims.find_lost(10))
        assert store.run(store.claims.is_overdue(PassKind.RECOVERY, 10)) is False
        assert wait_until(lambda: store.run(store.claims.is_overdue(PassKind.HEARTBEAT, 0.1)))

    def test_passes_of_beat_processes_are_told_from_those_of_stand_ins(self, store):
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


class TestUnstarted:
    def take(self, store):
        return [claim for claim, _ in store.run(store.claims.take_unstarted(10, hold_s=60))]

    def test_a_claim_whose_poller_died_before_dispatch_is_taken(self, store):
        claim = store.claim(event='{"n": 1}')
        assert self.take(store) == []
        assert wait_until(lambda: self.take(store)) == [claim]
        assert self.take(store) == []

    def test_a_dispatched_claim_is_not_taken(self, store):
        claim = store.claim()
        store.run(store.claims.mark_queued(claim.job))
        time.sleep(0.3)
        assert self.take(store) == []

    def test_a_closed_claim_is_not_taken(self, store):
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
        assert self.take(store) == [], "not at each pass"

    def test_it_is_published_anew_ever_more_rarely(self, store):
        self.queued(store)
        for _ in range(2):
            self.overdue(store)
            store.worker()
            assert len(self.take(store)) == 1
        self.overdue(store)
        store.worker()
        assert self.take(store) == []

    def test_it_is_taken_at_the_next_pass_when_it_could_not_be_published(self, store):
        """The broker is away: no patience is spent on that."""
        self.queued(store)
        self.overdue(store)
        store.worker()
        assert len(store.run(store.claims.take_unstarted(10, hold_s=0.05))) == 1
        assert wait_until(lambda: store.run(store.claims.take_unstarted(10, hold_s=60)))

    def test_it_is_not_published_anew_while_no_worker_has_room(self, store):
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

    def test_it_is_not_published_anew_while_a_worker_has_it(self, store):
        """Behind a rate limit, for example; or it waits there for its countdown."""
        claim = self.queued(store)
        self.overdue(store)
        store.jobs.renew_lease(
            "w1", number=next(NUMBERS), slots=2, queues=["celery"], claim_ids=[claim.claim_id]
        )
        assert self.take(store) == []

    def test_it_is_not_published_anew_once_it_has_started(self, store):
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
