"""The loops on a real store, with faults where Step Functions or the broker answers.

The client and the dispatcher are fakes, for they are what fails here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from types import SimpleNamespace

import pytest
from celery import Celery

from bridge.errors import (
    EncryptionKeyUnavailable,
    InvalidRequest,
    ServiceUnavailable,
    SettingsError,
    StoreUnavailable,
    Throttled,
    TokenClosed,
    TooManyPollers,
)
from bridge.local.valkey import LocalValkey
from bridge.loops import heartbeat, recovery
from bridge.loops import reporter as reporter_module
from bridge.loops.dispatcher import BrokerUnavailable, NotPublished, NotRegistered
from bridge.loops.poller import Poller
from bridge.loops.reporter import Reporter
from bridge.metrics import OFF, Meters
from bridge.model import Job, Outcome, claim_id_of
from bridge.processes.beat_stand_in import StandIn
from bridge.processes.poll import end_tasks
from bridge.registry import Activity, Registry
from bridge.settings import Settings
from bridge.stepfunctions import ActivityTask
from bridge.store import ClaimStore, JobStore, PassKind, PendingReport, Wish

ARN = "arn:aws:states:us-east-1:123456789012:activity:resize"


class FaultyClient:
    """Answers as scripted, and is well otherwise; notes what it was asked."""

    throttled = ()

    def __init__(self, *polls, calls=()):
        self.polls, self.calls = deque(polls), deque(calls)
        self.polled = 0
        self.sent: list[tuple[str, str]] = []
        self.at_once = self.most_at_once = 0

    def of(self, activity):
        """It stands for the clients of all places, too."""
        return self

    def place_of(self, activity):
        return ""

    async def get_activity_task(self, arn, *, worker_name, read_timeout_s):
        self.polled += 1
        if not self.polls:
            await asyncio.sleep(60)
        answer = self.polls.popleft()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _call(self, kind, token):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.005)
        self.at_once -= 1
        self.sent.append((kind, token))
        fault = self.calls.popleft() if self.calls else None
        if fault is not None:
            raise fault

    async def send_task_heartbeat(self, token, *, urgency=0.0):
        await self._call("heartbeat", token)

    async def send_task_success(self, token, output):
        await self._call("success", token)

    async def send_task_failure(self, token, *, error, cause):
        await self._call(error, token)


class Counting(Meters):
    """Notes the errors of what was reported, and whether Step Functions took them."""

    def __init__(self):
        self.reports = []

    def reported(self, ended, error, *, taken):
        self.reports.append((error, taken))


def sizes(thing):
    """How much each collection of an object holds."""
    return {name: len(value) for name, value in vars(thing).items() if hasattr(value, "__len__")}


class FaultyDispatcher:
    def __init__(self, faults=0):
        self.faults = faults
        self.published: list[Job] = []

    def publish(self, claim, *, retry=0):
        if self.faults:
            self.faults -= 1
            raise BrokerUnavailable("the broker is away")
        self.published.append(claim.job)

    def publish_all(self, claims):
        return [self._failure(claim) for claim in claims]

    def _failure(self, claim):
        try:
            self.publish(claim)
        except BrokerUnavailable as exc:
            return exc
        return None


@pytest.fixture
def registry():
    app = Celery("test", set_as_current=False)
    task = app.task(lambda event: event, name="resize", shared=False)
    yield Registry([Activity("resize", task, "celery", heartbeat_s=10.0)])
    app.close()


def polling(store, registry, client, dispatcher, until, *, claims=None):
    """Run a poller until the condition holds."""

    async def main():
        poller = Poller(
            registry=registry,
            arns={"resize": ARN},
            clients=client,
            dispatcher=dispatcher,
            store=claims or store.claims,
            settings=store.settings,
            name="p1",
        )
        running = asyncio.create_task(poller.run())
        async with asyncio.timeout(15):
            while not until():
                await asyncio.sleep(0.02)
                store.worker()
        assert not running.done()
        await end_tasks()

    store.worker()
    store.run(main())


TASK = ActivityTask(token="token-1", input='{"n": 1}')


class TestPoller:
    def test_a_poller_task_that_dies_is_replaced_and_says_so(self, store, registry, caplog):
        client = FaultyClient(ZeroDivisionError("a bug"), TASK)
        dispatcher = FaultyDispatcher()
        polling(store, registry, client, dispatcher, lambda: dispatcher.published)
        assert "a poller task of resize died; it is replaced" in caplog.text
        assert store.status().queued == 1

    @pytest.mark.parametrize("fault", [Throttled("slow down"), TooManyPollers("1,000 are open")])
    def test_a_refused_poll_is_backed_off_and_opened_again(self, store, registry, caplog, fault):
        client = FaultyClient(fault, TASK)
        dispatcher = FaultyDispatcher()
        polling(store, registry, client, dispatcher, lambda: dispatcher.published)
        assert str(fault) in caplog.text
        assert client.polled >= 2

    def test_empty_polls_that_come_at_once_do_not_spin(self, store, registry):
        client = FaultyClient(*[None] * 3, TASK)
        dispatcher = FaultyDispatcher()
        loop_s = asyncio.new_event_loop()
        started = loop_s.time()
        polling(store, registry, client, dispatcher, lambda: dispatcher.published)
        assert loop_s.time() - started > 3 * 0.2
        loop_s.close()

    def test_a_broker_that_is_away_delays_the_job_and_loses_none(self, store, registry):
        dispatcher = FaultyDispatcher(faults=2)
        polling(store, registry, FaultyClient(TASK), dispatcher, lambda: dispatcher.published)
        assert len(dispatcher.published) == 1

    def test_a_store_that_is_away_keeps_the_token_until_it_is_back(
        self, registry, tmp_path, run, caplog
    ):
        """The token is nowhere else: the poller holds it until Redis takes it."""
        caplog.set_level(logging.WARNING)
        with LocalValkey(data_dir=tmp_path / "data") as valkey:
            settings = Settings(store_url=valkey.url, lease_s=30)
            jobs, dispatcher = JobStore(settings), FaultyDispatcher()
            jobs.renew_lease("w1", number=1, slots=4, queues=["celery"])

            class Client(FaultyClient):
                async def get_activity_task(self, *args, **kwargs):
                    if self.polled == 0:
                        valkey.kill()
                    return await super().get_activity_task(*args, **kwargs)

            async def main():
                claims = ClaimStore(settings)
                poller = Poller(
                    registry=registry,
                    arns={"resize": ARN},
                    clients=Client(TASK),
                    name="p1",
                    dispatcher=dispatcher,
                    store=claims,
                    settings=settings,
                )
                running = asyncio.create_task(poller.run())
                async with asyncio.timeout(30):
                    while "is not stored yet" not in caplog.text:
                        await asyncio.sleep(0.05)
                    assert len(poller.leftovers().unstored) == 1
                    valkey.start()
                    while not dispatcher.published:
                        await asyncio.sleep(0.05)
                assert not running.done()
                await end_tasks()
                await claims.close()

            run(main())
            jobs.close()


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
        """Left alone, the state would hang until its time-out."""
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

    def test_a_key_that_is_refused_is_waited_for_but_not_for_ever(self, store, monkeypatch):
        """Its policy may be mended; an execution must not hang until its time-out either."""
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

    def test_a_bug_is_said_and_the_report_stays(self, store, caplog):
        store.settled()
        client = FaultyClient(calls=[ZeroDivisionError("a bug")])
        flush_until(store, client, lambda: store.status().in_flight == 0)
        assert "was not reported; it is tried again" in caplog.text

    def test_many_at_once_and_no_more_than_allowed(self, store):
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


def beat(store, client, unfinished=None, meters=OFF):
    def on_unfinished(job):
        (unfinished if unfinished is not None else []).append(job)

    passing = heartbeat.beat_due(
        clients=client,
        store=store.claims,
        concurrent_calls=4,
        on_unfinished=on_unfinished,
        meters=meters,
    )
    return store.run(passing)


def wait_until_due(store, seconds):
    store.run(asyncio.sleep(seconds))


class TestHeartbeat:
    def test_due_tokens_are_beaten_no_more_at_once_than_allowed(self, store):
        for n in range(20):
            store.claim(f"token-{n}", interval_s=0.05)
        wait_until_due(store, 0.06)
        client = FaultyClient()
        assert beat(store, client).sent == 20
        assert 1 < client.most_at_once <= 4

    def test_two_beats_never_double_the_calls(self, store):
        store.claim(interval_s=0.5)
        wait_until_due(store, 0.51)
        client = FaultyClient()

        def nobody(job):
            raise AssertionError(job)

        async def both():
            passes = [
                heartbeat.beat_due(
                    clients=client, store=store.claims, concurrent_calls=4, on_unfinished=nobody
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
        done = beat(
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
        beat(store, FaultyClient(calls=[gone, gone]), meters=meters)
        assert sorted(meters.reports) == [("", False), ("Boom", False)]
        assert store.status().in_flight == 0

    @pytest.mark.parametrize("odd", [ZeroDivisionError("a bug"), SettingsError("no such region")])
    def test_an_odd_exception_of_one_stops_no_other(self, store, monkeypatch, odd, caplog):
        """Each heartbeat is for itself; the one comes again before its interval is over."""
        monkeypatch.setattr(heartbeat, "BATCH", 4)
        for n in range(10):
            store.claim(f"token-{n}", interval_s=0.4)
        wait_until_due(store, 0.41)
        done = beat(store, FaultyClient(calls=[odd]))
        assert (done.sent, done.failed) == (9, 1)
        assert str(odd) in caplog.text
        wait_until_due(store, 0.12)
        assert beat(store, FaultyClient()).sent == 1

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
                await heartbeat.beat_due(
                    clients=client, store=claims, concurrent_calls=1, on_unfinished=lambda _: None
                )
            finally:
                await claims.close()

        client = FaultyClient(calls=[TokenClosed("gone", code="TaskTimedOut")])
        with pytest.raises(StoreUnavailable):
            store.run(main())
        assert len(client.sent) == 3

    @pytest.mark.parametrize("interval_s", [10 / 3, 0.3333, 1.0001])
    def test_an_interval_that_is_no_whole_number(self, store, interval_s):
        """A quarter of it is a score with a fraction, once its worker's lease has ended."""
        job = store.running(interval_s=interval_s)
        heartbeats = f"{store.settings.root_key}:heartbeats"

        def due_at(score):
            store.jobs._scripts.redis.zadd(heartbeats, {job.claim_id: score})

        due_at(1.25)
        store.jobs.end_lease("w1")
        assert beat(store, FaultyClient()).sent == 0
        ((_, score),) = store.jobs._scripts.redis.zrange(heartbeats, 0, -1, withscores=True)
        assert score == int(score)
        store.worker()
        due_at(1764241234833.25)  # as an earlier version left it
        assert beat(store, FaultyClient(calls=[Throttled("slow down")])).failed == 1
        due_at(1)
        assert beat(store, FaultyClient()).sent == 1

    def test_a_throttled_beat_comes_again_before_its_interval_is_over(self, store):
        store.claim(interval_s=0.4)
        wait_until_due(store, 0.41)
        client = FaultyClient(calls=[Throttled("slow down")])
        assert beat(store, client).failed == 1
        assert beat(store, client).sent == 0  # not at once: that would be a spiral
        wait_until_due(store, 0.12)
        assert beat(store, client).sent == 1


class TestRecovery:
    def test_a_claim_that_was_not_dispatched_is(self, store):
        claim = store.claim()
        wait_until_due(store, 0.21)
        dispatcher = FaultyDispatcher()
        done = store.run(recovery.sweep(store=store.claims, jobs=store.jobs, dispatcher=dispatcher))
        assert (done.dispatched, dispatcher.published) == (1, [claim.job])

    def test_a_broker_that_is_away_is_tried_again(self, store, monkeypatch):
        monkeypatch.setattr(recovery, "HOLD_S", 0.05)
        store.claim()
        wait_until_due(store, 0.21)
        dispatcher = FaultyDispatcher(faults=1)

        def sweep():
            return store.run(
                recovery.sweep(store=store.claims, jobs=store.jobs, dispatcher=dispatcher)
            )

        assert sweep().dispatched == 0
        wait_until_due(store, 0.06)
        assert sweep().dispatched == 1

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
        done = store.run(recovery.sweep(store=store.claims, jobs=store.jobs, dispatcher=dispatcher))
        assert done.dispatched == len(dispatcher.published) == 9

    def test_an_outage_ends_the_pass(self, store):
        for number in range(10):
            store.claim(f"token-{number}")
        wait_until_due(store, 0.21)
        dispatcher = FaultyDispatcher(faults=10)
        done = store.run(recovery.sweep(store=store.claims, jobs=store.jobs, dispatcher=dispatcher))
        assert done == recovery.Sweep()
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
            recovery.sweep(store=store.claims, jobs=store.jobs, dispatcher=Forgetful())
        )
        assert done.dispatched == 1
        assert "no task here has it" in caplog.text

    def test_an_odd_exception_of_one_claim_holds_up_no_other(self, store, caplog):
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
        done = store.run(recovery.sweep(store=store.claims, jobs=jobs, dispatcher=Odd()))
        jobs.close()
        assert (done.again, done.dispatched) == (1, 2)
        assert caplog.text.count("a bug") >= 2

    def test_a_dead_workers_job_runs_again(self, store):
        job = store.running(max_attempts=2)
        wait_until_due(store, 1.1)
        dispatcher = FaultyDispatcher()
        done = store.run(recovery.sweep(store=store.claims, jobs=store.jobs, dispatcher=dispatcher))
        assert (done.again, dispatcher.published) == (1, [Job(job.claim_id, 2)])

    def test_all_that_a_large_worker_held_is_found_in_one_sweep(self, store):
        """However many: each sweep that leaves some would add a tick to the bound."""
        count = 2 * recovery.BATCH + 50
        for number in range(count):
            store.running(f"token-{number}", max_attempts=1 + number % 2)
        wait_until_due(store, 1.1)
        dispatcher = FaultyDispatcher()
        done = store.run(recovery.sweep(store=store.claims, jobs=store.jobs, dispatcher=dispatcher))
        assert (done.again, done.failed, done.dispatched) == (count // 2,) * 3
        assert len({job.claim_id for job in dispatcher.published}) == count // 2

    def test_a_worker_that_comes_back_in_the_middle_of_a_sweep_ends_it(self, store):
        """Its jobs stay where they are; the sweep does not ask for ever."""
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
                done = await recovery.sweep(store=claims, jobs=store.jobs, dispatcher=dispatcher)
            await claims.close()
            return done

        assert store.run(main()) == recovery.Sweep()
        assert store.status().running == recovery.BATCH + 1


TICK_S = 0.2


class EarlyBeat(ClaimStore):
    """With a beat process whose passes begin early in the ticks of who stands in for it."""

    def __init__(self, settings):
        super().__init__(settings)
        self.at_work = False
        self.passes = []

    async def is_overdue(self, kind, after_s, *, of_beat=False):
        answer = await super().is_overdue(kind, after_s, of_beat=of_beat)
        if self.at_work:
            self.passes.append(asyncio.create_task(self.begin(kind)))
        return answer

    async def begin(self, kind):
        await asyncio.sleep(TICK_S / 4)
        await self.note_beat_pass(kind)
        await (self.take_heartbeats(1) if kind is PassKind.HEARTBEAT else self.find_lost(1))


class TestStandIn:
    def test_hands_back_wherever_in_its_ticks_beat_begins(self, store, caplog):
        """From the time of the last pass alone it would take beat's for its own, for ever."""
        caplog.set_level(logging.INFO)
        settings = store.settings.model_copy(update={"tick_s": TICK_S})

        async def main():
            claims = EarlyBeat(settings)
            stand_in = StandIn(
                bridge=SimpleNamespace(settings=settings, jobs=store.jobs),
                clients=FaultyClient(),
                store=claims,
                dispatcher=FaultyDispatcher(),
            )
            running = asyncio.create_task(stand_in.run())
            async with asyncio.timeout(15):
                while caplog.text.count("it is done here") < len(PassKind):
                    await asyncio.sleep(0.01)
                claims.at_work = True
                while caplog.text.count("begun elsewhere again") < len(PassKind):
                    await asyncio.sleep(0.01)
                passes = len(claims.passes)
                while len(claims.passes) < passes + 10:
                    await asyncio.sleep(0.01)
            stand_in.stop()
            await running
            await asyncio.gather(*claims.passes)
            await claims.close()

        store.run(main())
        assert caplog.text.count("it is done here") == len(PassKind), "it took over again"
