"""The loops count each event once, with its activity and its name, on a real store."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from celery import Celery

from bridge.errors import InvalidRequest, ServiceUnavailable, Throttled, TokenClosed
from bridge.loops import heartbeat, recovery
from bridge.loops.poller import Poller
from bridge.loops.reporter import Reporter
from bridge.metrics import Meters
from bridge.model import Outcome
from bridge.processes.poll import end_tasks
from bridge.registry import Activity, Registry
from bridge.stepfunctions import ActivityTask
from tests.waiting import wait_until

ARN = "arn:aws:states:us-east-1:123456789012:activity:resize"
FAILED = Outcome.failure("Boom", "it broke")


class Recorder(Meters):
    """Keeps every event in order: its name and its arguments."""

    def __init__(self):
        self.events: list[tuple] = []


def _record(name):
    def record(self, *args, **kwargs):
        self.events.append((name, *args, *kwargs.values()))

    return record


for _name, _ in inspect.getmembers(Meters, inspect.isfunction):
    if not _name.startswith("_"):
        setattr(Recorder, _name, _record(_name))


@pytest.fixture
def meters():
    return Recorder()


class Client:
    """Step Functions: each call meets the next of the faults, and is taken when none is left."""

    throttled = ()

    def __init__(self, *faults, polls=()):
        self.faults, self.polls = list(faults), list(polls)

    async def _call(self, *args, **kwargs):
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault

    send_task_heartbeat = send_task_success = send_task_failure = _call

    def of(self, activity):
        """It stands for the clients of all places, too."""
        return self

    def place_of(self, activity):
        return ""

    async def get_activity_task(self, *args, **kwargs):
        if not self.polls:
            await asyncio.sleep(60)
        answer = self.polls.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Recording:
    def __init__(self):
        self.published = []

    def publish(self, claim, *, retry=0):
        self.published.append(claim.job)

    def publish_all(self, claims):
        return [self.publish(claim) for claim in claims]

    def revoke_soon(self, unfinished):
        pass


def report(store, meters, client, *, until):
    one = Reporter(
        clients=client,
        store=store.claims,
        concurrent_calls=4,
        meters=meters,
        on_unfinished=lambda _: None,
    )
    store.run_until(one, until)


class TestReports:
    def reported(self, store, meters, client) -> list[tuple]:
        report(store, meters, client, until=lambda: store.status().in_flight == 0)
        return meters.events

    def test_a_success(self, store, meters):
        store.settled()
        ((event, ended, error, taken),) = self.reported(store, meters, Client())
        assert (event, ended.activity, ended.worker, error, taken) == (
            "reported",
            "resize",
            "w1",
            "",
            True,
        )
        assert None not in ended

    def test_a_failure_by_its_name(self, store, meters):
        job = store.running()
        store.jobs.settle(job, FAILED)
        ((_, _, error, taken),) = self.reported(store, meters, Client())
        assert (error, taken) == ("Boom", True)

    def test_a_report_that_came_too_late(self, store, meters):
        store.settled()
        late = TokenClosed("too late", code="TaskTimedOut")
        ((_, _, error, taken),) = self.reported(store, meters, Client(late))
        assert (error, taken) == ("", False)

    def test_a_refused_output_is_the_failure_that_was_sent(self, store, meters):
        store.settled()
        refused = InvalidRequest("no JSON", code="InvalidOutput")
        ((_, _, error, taken),) = self.reported(store, meters, Client(refused))
        assert (error, taken) == ("Bridge.OutputRefused", True)

    def test_a_report_that_is_tried_again_is_counted_once_it_is_taken(self, store, meters):
        store.settled()
        events = self.reported(store, meters, Client(ServiceUnavailable("502"), Throttled("slow")))
        assert [event[:2] for event in events[:2]] == [
            ("postponed", "ServiceUnavailable"),
            ("postponed", "Throttled"),
        ]
        assert [event[0] for event in events[2:]] == ["reported"]


def test_polls_and_claims(store, meters):
    app = Celery("test", set_as_current=False)
    task = app.task(lambda event: event, name="resize", shared=False)
    registry = Registry([Activity("resize", task, "celery", heartbeat_s=10.0)])
    dispatcher = Recording()
    polls = [None, Throttled("slow down"), ActivityTask(token="token-1", input="{}")]

    async def main():
        poller = Poller(
            registry=registry,
            arns={"resize": ARN},
            clients=Client(polls=polls),
            store=store.claims,
            dispatcher=dispatcher,
            settings=store.settings,
            name="p1",
            meters=meters,
        )
        running = asyncio.create_task(poller.run())
        async with asyncio.timeout(15):
            while not dispatcher.published:
                await asyncio.sleep(0.02)
                store.worker()
        assert not running.done()
        await end_tasks()

    store.worker()
    store.run(main())
    app.close()
    assert meters.events == [
        ("polled", "resize", "empty"),
        ("polled", "resize", "error"),
        ("polled", "resize", "task"),
        ("claimed", "resize"),
    ]


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        (None, "sent"),
        (TokenClosed("gone", code="TaskTimedOut"), "closed"),
        (ServiceUnavailable("502"), "failed"),
    ],
)
def test_heartbeats(store, meters, fault, result):
    store.claim(interval_s=0.05)
    store.run(asyncio.sleep(0.06))
    store.run(
        heartbeat.send_due_heartbeats(
            clients=Client(fault),
            store=store.claims,
            concurrent_calls=4,
            on_unfinished=lambda _: None,
            meters=meters,
        )
    )
    assert meters.events == [("heartbeat", "resize", result)]


class TestRecoveries:
    def recover(self, store, meters) -> list[tuple]:
        store.run(
            recovery.recover(
                store=store.claims, jobs=store.jobs, dispatcher=Recording(), meters=meters
            )
        )
        return meters.events

    def test_a_job_of_a_dead_worker(self, store, meters):
        store.running("token-1", worker="w1", max_attempts=2)
        store.running("token-2", worker="w1", activity="render")
        store.run(asyncio.sleep(1.1))
        wait_until(lambda: len(self.recover(store, meters)) == 3, timeout_s=10)
        assert sorted(meters.events) == [
            ("recovered", "render", "failed"),
            ("recovered", "resize", "again"),
            ("recovered", "resize", "dispatched"),
        ]

    def test_a_claim_that_was_never_published(self, store, meters):
        store.claim()
        store.run(asyncio.sleep(0.25))
        assert self.recover(store, meters) == [("recovered", "resize", "dispatched")]

    def test_a_silent_job_is_given_up(self, store, meters):
        store.running(interval_s=0.05, manual=True)

        def given_up():
            store.worker()
            store.run(
                heartbeat.send_due_heartbeats(
                    clients=Client(),
                    store=store.claims,
                    concurrent_calls=4,
                    on_unfinished=lambda _: None,
                    meters=meters,
                )
            )
            return [event for event in meters.events if event[0] == "recovered"]

        assert wait_until(given_up) == [("recovered", "resize", "given_up")]
