"""The reporter on a real store, with faults where Step Functions answers."""

from __future__ import annotations

import logging

import pytest

from bridge.errors import (
    EncryptionKeyUnavailable,
    InvalidRequest,
    ServiceUnavailable,
    Throttled,
    TokenClosed,
)
from bridge.loops import reporter as reporter_module
from bridge.loops.reporter import Reporter
from bridge.metrics import OFF
from bridge.model import Outcome
from bridge.store import PendingReport, Wish
from tests.integration.loops.fakes import Counting, FaultyClient


def sizes(thing):
    """How much each collection of an object holds."""
    return {name: len(value) for name, value in vars(thing).items() if hasattr(value, "__len__")}


def reporter(store, client, unfinished, meters=OFF):
    def on_unfinished(job):
        unfinished.append(job)

    return Reporter(
        clients=client,
        store=store.claims,
        concurrent_calls=4,
        on_unfinished=on_unfinished,
        meters=meters,
    )


def flush_until(store, client, condition, meters=OFF):
    """Report again and again until the condition holds."""
    store.run_until(reporter(store, client, [], meters), condition)


class TestReporter:
    def test_an_outage_delays_reports_and_loses_none(self, store):
        """A report that cannot be delivered is tried again until it is taken."""
        store.settled()
        client = FaultyClient(calls=[Throttled("slow down"), Throttled("slow down")])
        flush_until(store, client, lambda: store.status().in_flight == 0)
        assert client.sent == [("success", "token-1")] * 3

    @pytest.mark.parametrize("calls", [[], [Throttled("slow down")]], ids=["taken", "refused"])
    def test_polls_wait_while_reports_are_throttled(self, store, calls):
        store.settled()
        client = FaultyClient(calls=calls)
        client.throttled = ["eu-west-1/"]
        store.worker(slots=4)
        store.run(reporter(store, client, []).flush(overdue_s=0))
        wishes = [Wish("far", "celery", 0, 1, place="eu-west-1/"), Wish("near", "celery", 0, 1)]
        assert store.run(store.claims.grant_polls("p1", wishes)).polls == [0, 1]

    def test_a_closed_token_is_never_reported_again(self, store, caplog):
        store.settled()
        client = FaultyClient(calls=[TokenClosed("too late", code="TaskTimedOut")])
        flush_until(store, client, lambda: store.status().in_flight == 0)
        assert client.sent == [("success", "token-1")]
        assert "Step Functions says TaskTimedOut" in caplog.text

    def test_an_output_that_is_refused_becomes_a_failure(self, store):
        """Without an outcome, the state would wait until its time-out."""
        store.settled()
        client = FaultyClient(calls=[InvalidRequest("no JSON", code="InvalidOutput")])
        flush_until(store, client, lambda: store.status().in_flight == 0)
        assert [kind for kind, _ in client.sent] == ["success", "Bridge.OutputRefused"]

    @pytest.mark.parametrize("ok", [True, False])
    def test_a_failure_that_is_refused_ends_without_error_and_cause(self, store, caplog, ok):
        """Sent again for ever, it would keep the state hanging until its time-out."""
        job = store.running()
        outcome = Outcome(output="1") if ok else Outcome.failure("Boom", "no")
        store.jobs.settle(job, outcome)
        refusal = InvalidRequest("no", code="ValidationException")
        client = FaultyClient(calls=[refusal] * (2 if ok else 1))
        meters = Counting()
        flush_until(store, client, lambda: store.status().in_flight == 0, meters=meters)
        told = [kind for kind, _ in client.sent]
        assert told == (["success", "Bridge.OutputRefused", ""] if ok else ["Boom", ""])
        assert meters.reports == [("Bridge.FailureRefused", True)]
        assert f"claim {job.claim_id}" in caplog.text

    def test_a_kms_key_that_refuses_is_waited_for_but_not_for_ever(self, store, monkeypatch):
        """Its policy may be corrected; but an execution must not wait until its time-out."""
        denied = EncryptionKeyUnavailable("no", code="KmsAccessDeniedException")
        throttled = EncryptionKeyUnavailable("slow down", code="KmsThrottlingException")
        store.settled("token-1")
        client = FaultyClient(calls=[denied])
        flush_until(store, client, lambda: store.status().in_flight == 0)
        assert [kind for kind, _ in client.sent] == ["success", "success"]
        monkeypatch.setattr(reporter_module, "KMS_PATIENCE_S", 0.0)
        store.settled("token-2")
        client = FaultyClient(calls=[throttled, denied, denied])
        flush_until(store, client, lambda: store.status().in_flight == 0)
        told = [kind for kind, _ in client.sent]
        assert told == ["success", "success", "Bridge.OutputRefused", ""]

    def test_an_outage_leaves_nothing_behind_in_the_reporter(self, store, caplog):
        """What it remembers and says of an outage does not grow with the claims that wait."""
        caplog.set_level(logging.WARNING)
        for n in range(50):
            store.settled(f"token-{n}")
        away = ServiceUnavailable("away")
        sender = reporter(store, FaultyClient(calls=[away] * 50), [])
        before = sizes(sender)
        assert store.run(sender.flush(overdue_s=0)) == 50
        assert sizes(sender) == before
        assert caplog.text.count("is reported again in") == 1

    def test_a_report_waits_as_long_again_as_it_has_waited(self, store, monkeypatch):
        """Whichever reporter comes next; at least half a second, half a minute at most."""
        delays = []

        async def postponed(claim_id, delay_s):
            delays.append(delay_s)
            return True

        monkeypatch.setattr(store.claims, "postpone_report", postponed)
        sender = reporter(store, FaultyClient(), [])
        for waited_s in (0.0, 8.0, 1e6):
            report = PendingReport("c", "t", Outcome(output="1"), "resize", waited_s)
            store.run(sender._postpone(report, ServiceUnavailable("away")))
        assert 0.5 <= delays[0] <= 1
        assert 4 <= delays[1] <= 8
        assert 15 <= delays[2] <= 30

    def test_an_unexpected_exception_is_logged_and_the_report_stays(self, store, caplog):
        store.settled()
        client = FaultyClient(calls=[ZeroDivisionError("a bug")])
        flush_until(store, client, lambda: store.status().in_flight == 0)
        assert "was not reported; it is tried again" in caplog.text

    def test_many_reports_are_sent_at_once_and_no_more_than_allowed(self, store):
        for n in range(20):
            store.settled(f"token-{n}")
        client = FaultyClient()
        flush_until(store, client, lambda: store.status().in_flight == 0)
        assert len(client.sent) == 20
        assert 1 < client.most_at_once <= 4

    def test_a_late_success_of_an_old_attempt_ends_the_new_one(self, store):
        """The job that still runs is to be revoked."""
        job = store.running(max_attempts=2)
        store.jobs.recover(job, worker="w1", outcome=Outcome.failure("Bridge.WorkerLost", ""))
        store.jobs.settle(job, Outcome(output="1"))
        unfinished = []
        tried = store.run(reporter(store, FaultyClient(), unfinished).flush(overdue_s=0))
        assert tried == 1
        assert store.status().in_flight == 0

    def test_flush_leaves_what_is_not_overdue(self, store):
        store.settled()
        client = FaultyClient()
        assert store.run(reporter(store, client, []).flush(overdue_s=30)) == 0
        assert client.sent == []
