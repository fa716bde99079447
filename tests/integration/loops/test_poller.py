"""Which polls a poller has open, and what it tells a real store of them.

Step Functions is a fake that notes polls and holds them; other pollers are calls of the store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
from celery import Celery

from bridge.errors import StoreUnavailable, Throttled, TooManyPollers
from bridge.loops.open_polls import IDLE_AFTER_S
from bridge.loops.poll_wishes import GRANT_INTERVAL_S, IDLE_INTERVAL_S
from bridge.loops.poller import Poller
from bridge.processes.poll import end_tasks
from bridge.registry import Activity, Registry
from bridge.stepfunctions import ActivityTask
from bridge.store import ClaimStore, JobStore, PollRefusal, Wish
from tests.integration.loops.fakes import TASK, FaultyClient, FaultyDispatcher, polling

TIMEOUT_S = 20.0
HOLD_S = 60.0


class Client:
    """Step Functions: a poll finds one of the tasks after a moment, or is held.

    Attributes:
        tasks: Activity → tasks that wait.
        answers_in_s: How long a poll takes to find a task.
        hold_s: How long a poll is held that finds none.
        polled: Activity → polls so far.
        open: Activity → polls that are open now.
        most_open: At once.
    """

    throttled = ()

    def __init__(self):
        self.tasks: Counter[str] = Counter()
        self.answers_in_s, self.hold_s = 0.002, HOLD_S
        self.polled: Counter[str] = Counter()
        self.open: Counter[str] = Counter()
        self.most_open = 0

    def of(self, activity):
        """It is the clients of all places, too."""
        return self

    def place_of(self, activity):
        return ""

    async def get_activity_task(self, arn, **kwargs):
        self.polled[arn] += 1
        self.open[arn] += 1
        self.most_open = max(self.most_open, self.open.total())
        ends = time.monotonic() + self.hold_s
        try:
            await asyncio.sleep(self.answers_in_s)
            while time.monotonic() < ends:
                if self.tasks[arn]:
                    self.tasks[arn] -= 1
                    return ActivityTask(f"{arn}-{self.polled[arn]}-{self.tasks[arn]}", "{}")
                await asyncio.sleep(0.01)
        finally:
            self.open[arn] -= 1


class Asked(ClaimStore):
    """Notes what it is asked: when, by the monotonic clock, what for, and the answer."""

    def __init__(self, settings):
        super().__init__(settings)
        self.asked = []
        self.away = False

    async def grant_polls(self, poller, wishes):
        if self.away:
            raise StoreUnavailable("away")
        at = time.monotonic()
        grant = await super().grant_polls(poller, wishes)
        told = {wish.activity: wish for wish in wishes}
        refused = dict(zip(told, grant.refused, strict=True))
        self.asked.append(SimpleNamespace(at=at, told=told, refused=refused))
        return grant


class Scene:
    """A poller of some activities, each registered by its ARN's name, and a worker."""

    def __init__(self, store, activities, slots):
        self.store, self.client = store, Client()
        self.dispatched = []
        self.names = [f"a{n}" for n in range(activities)]
        self._slots = slots

    async def __aenter__(self):
        settings = self.store.settings
        self._app = Celery("test", set_as_current=False)
        task = self._app.task(lambda event: event, name="work", shared=False)
        work = Activity("work", task, "celery", heartbeat_s=10.0)
        # The worker and the poller are alive however slow this machine is.
        settings = settings.model_copy(update={"lease_s": 60})
        self.jobs = JobStore(settings)
        if self._slots:
            self.worker(self._slots)
        self.claims = Asked(settings)
        self.poller = Poller(
            registry=Registry([replace(work, name=name) for name in self.names]),
            arns={name: name for name in self.names},
            clients=self.client,
            store=self.claims,
            dispatcher=self,
            settings=settings,
            name="p1",
        )
        self.running = asyncio.create_task(self.poller.run())
        return self

    async def __aexit__(self, *exc):
        await end_tasks()
        await self.claims.close()
        self.jobs.close()
        self._app.close()

    def publish_all(self, claims):
        """It is the dispatcher, too."""
        self.dispatched += [claim.job for claim in claims]
        return [None] * len(claims)

    def worker(self, slots, worker="w1", number=1):
        self.jobs.renew_lease(worker, number=number, slots=slots, queues=["celery"])

    async def until(self, condition):
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                await asyncio.sleep(0.01)

    async def ask_as_another(self, poller="p2", want=1, fresh=0, idle=0):
        """What another poller of the first activity is answered."""
        wish = Wish(self.names[0], "celery", fresh, want, idle)
        grant = await self.claims.__class__.__base__.grant_polls(self.claims, poller, [wish])
        return grant.polls[0], grant.refused[0]


@pytest.fixture
def play(store):
    """Play a test's steps with a poller of so many activities, and a worker of so many slots."""

    def played(steps, *, activities=1, slots=4):
        async def main():
            async with Scene(store, activities, slots) as scene:
                await steps(scene)

        store.run(main())

    return played


class TestIdlePolls:
    def test_a_poll_is_told_as_fresh_and_then_as_idle(self, play):
        """At the moment when it becomes idle, for then its room is free."""

        async def steps(scene):
            await scene.until(lambda: any(ask.told["a0"].idle for ask in scene.claims.asked))
            *_, opened, idle = scene.claims.asked
            assert [(w.fresh, w.want, w.idle) for w in (opened.told["a0"], idle.told["a0"])] == [
                (0, 1, 0),
                (0, 0, 1),
            ]
            assert IDLE_AFTER_S <= idle.at - opened.at < IDLE_AFTER_S + 0.5

        play(steps)

    def test_all_activities_are_polled_though_slots_are_few(self, play):
        """An idle poll takes no slot: the next activities are polled half a second later."""

        async def steps(scene):
            began = time.monotonic()
            await scene.until(lambda: len(scene.client.polled) == 8)
            assert time.monotonic() - began < 10 * IDLE_AFTER_S
            assert scene.client.open.total() == scene.client.most_open == 8
            # As many as find room together, each half a second; no more asks than these need.
            assert len(scene.claims.asked) <= 16

        play(steps, activities=8, slots=1)

    def test_an_activity_has_one_idle_poll_however_many_pollers_there_are(self, play):
        async def steps(scene):
            await scene.until(lambda: any(ask.told["a0"].idle for ask in scene.claims.asked))
            assert await scene.ask_as_another() == (0, PollRefusal.COVERED)

        play(steps)

    def test_idle_polls_that_return_together_are_opened_by_one_ask(self, play):
        async def steps(scene):
            scene.client.hold_s = 1.0
            await scene.until(lambda: scene.client.polled.total() >= 16)
            again = [ask for ask in scene.claims.asked if any(w.want for w in ask.told.values())]
            assert len(again) <= 3  # at the start, and for those that returned together

        play(steps, activities=8, slots=16)

    def test_a_poll_that_returns_empty_waits_for_a_grant(self, play):
        """Its room may have gone to another activity, or its worker may have ended."""

        async def steps(scene):
            scene.client.hold_s = 1.0
            await scene.until(lambda: scene.client.open["a0"])
            await asyncio.to_thread(scene.jobs.end_lease, "w1")
            await scene.until(lambda: not scene.client.open["a0"])
            await scene.until(lambda: scene.claims.asked[-1].refused["a0"] is PollRefusal.NO_WORKER)
            assert scene.client.polled["a0"] == 1
            scene.worker(4, "w2")
            await scene.until(lambda: scene.client.polled["a0"] == 2)

        play(steps)

    def test_none_is_opened_while_the_store_is_away(self, play):
        """Nothing could store what they bring."""

        async def steps(scene):
            scene.client.hold_s = 0.6
            await scene.until(lambda: scene.client.open.total() == 8)
            scene.claims.away = True
            await scene.until(lambda: not scene.client.open.total())
            await asyncio.sleep(1.0)
            assert scene.client.polled.total() == 8
            scene.claims.away = False
            await scene.until(lambda: scene.client.open.total() == 8)

        play(steps, activities=8, slots=16)

    def test_none_is_opened_while_calls_that_matter_more_are_throttled(self, play):
        async def steps(scene):
            scene.client.hold_s = 0.6
            await scene.until(lambda: scene.client.open["a0"])
            await scene.claims.hold_polls([""])
            await scene.until(lambda: scene.claims.asked[-1].refused["a0"] is PollRefusal.THROTTLED)
            assert scene.client.polled["a0"] == 1

        play(steps)


class TestWindow:
    def test_it_grows_while_tasks_wait(self, play):
        """With 20 ms a poll: many are open at once within a second."""

        async def steps(scene):
            scene.client.answers_in_s = 0.02
            scene.client.tasks["a0"] = 10_000
            began = time.monotonic()
            await scene.until(lambda: scene.client.open["a0"] >= 8)
            assert time.monotonic() - began < 3.0

        play(steps, slots=2_000)

    def test_a_burst_leaves_one_idle_poll_behind(self, play):
        """Others return, and room that they took is free again."""

        async def steps(scene):
            scene.client.hold_s = 1.5
            scene.client.tasks["a0"] = 300
            await scene.until(lambda: len(scene.dispatched) == 300)
            await scene.until(lambda: scene.claims.asked[-1].told["a0"].idle == 1)
            wish = scene.claims.asked[-1].told["a0"]
            assert (wish.fresh, wish.want) == (0, 0)
            assert scene.client.open["a0"] == 1

        play(steps, slots=1_000)

    def test_it_falls_to_one_where_slots_are_what_is_scarce(self, play):
        """No job ends, so that tasks wait and no poll is granted for them."""

        async def steps(scene):
            scene.client.tasks["a0"] = 10_000
            await scene.until(lambda: scene.client.open["a0"] >= 5)
            await scene.until(lambda: scene.claims.asked[-1].told["a0"].want == 1)
            assert scene.claims.asked[-1].refused["a0"] is PollRefusal.NO_ROOM
            assert scene.client.open["a0"] == 0

        play(steps, slots=200)


class TestAskAgain:
    def test_it_asks_seldom_while_nothing_is_refused(self, play):
        """And again when a pause is over, and soon where something was refused."""

        async def steps(scene):
            scene.running.cancel()  # it asks when it is told to, only
            assert await scene.poller.ask_for_polls() == GRANT_INTERVAL_S  # no worker
            (polls,) = scene.poller._activities
            polls.pause(0.7)
            assert 0.3 < await scene.poller.ask_for_polls() <= 0.7
            polls.paused_until = 0.0
            scene.worker(4)
            assert IDLE_AFTER_S < await scene.poller.ask_for_polls() < 1
            polls.age(time.monotonic() + 1)
            assert await scene.poller.ask_for_polls() == IDLE_INTERVAL_S

        play(steps, slots=0)

    def test_it_asks_soon_while_another_pollers_poll_covers_the_activity(self, play):
        """That poller may end."""

        async def steps(scene):
            assert await scene.ask_as_another(want=0, idle=1) == (0, PollRefusal.NONE)
            scene.worker(4)
            await scene.until(lambda: scene.claims.asked)
            await scene.until(lambda: scene.claims.asked[-1].refused["a0"] is PollRefusal.COVERED)
            await scene.claims.withdraw_poller("p2")
            ended = time.monotonic()
            await scene.until(lambda: scene.client.polled["a0"] == 1)
            assert time.monotonic() - ended < GRANT_INTERVAL_S + 1

        play(steps, slots=0)

    def test_idle_polls_cost_few_asks(self, play):
        """Over five seconds, of 50 activities: one in each second or fewer, after the start."""

        async def steps(scene):
            await scene.until(lambda: scene.client.open.total() == 50)
            await asyncio.sleep(1)
            before = len(scene.claims.asked)
            await asyncio.sleep(5)
            assert len(scene.claims.asked) - before <= 2

        play(steps, activities=50, slots=100)


class TestPollsThatFail:
    def test_a_poll_that_fails_by_a_bug_is_logged_and_opened_again(self, store, registry, caplog):
        client = FaultyClient(ZeroDivisionError("a bug"), TASK)
        dispatcher = FaultyDispatcher()
        polling(store, registry, client, dispatcher, lambda: dispatcher.published)
        assert "poll of resize failed unexpectedly, next in" in caplog.text
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


class TestDrain:
    def test_open_polls_are_told_and_none_is_opened(self, play):
        """Else their room would be granted to another poller, or an idle one would not cover."""

        async def steps(scene):
            scene.client.hold_s = 2.0
            await scene.until(lambda: scene.client.open["a0"])
            scene.poller.drain()
            drained_at = time.monotonic()
            await scene.running
            told = [ask.told["a0"] for ask in scene.claims.asked if ask.at > drained_at]
            assert all(wish.want == 0 for wish in told)
            assert (told[0].fresh, told[0].idle) == (1, 0)
            assert any((wish.fresh, wish.idle) == (0, 1) for wish in told)
            assert scene.client.polled["a0"] == 1
            assert await scene.ask_as_another() == (1, PollRefusal.NONE)

        play(steps)

    def test_tasks_that_open_polls_bring_are_dispatched(self, play):
        async def steps(scene):
            await scene.until(lambda: scene.client.open["a0"])
            scene.poller.drain()
            await scene.until(lambda: any(ask.told["a0"].idle for ask in scene.claims.asked))
            scene.client.tasks["a0"] = 3
            await scene.running
            assert len(scene.dispatched) == 1

        play(steps)

    def test_a_store_that_is_away_meanwhile_is_logged_as_an_outage(self, play, caplog):
        async def steps(scene):
            scene.client.hold_s = 1.0
            await scene.until(lambda: scene.client.open["a0"])
            scene.claims.away = True
            scene.poller.drain()
            await scene.running

        play(steps)
        said = [each for each in caplog.records if "lease is not renewed" in each.message]
        assert said
        assert all(each.levelno == logging.WARNING and not each.exc_info for each in said)


class TestLog:
    def test_a_queue_without_a_worker_is_said_once_and_when_one_serves_it(self, play, caplog):
        caplog.set_level(logging.INFO)

        async def steps(scene):
            await scene.until(lambda: len(scene.claims.asked) >= 3)
            said = "no worker serves queue 'celery': nothing is claimed for a0, a1 until one does"
            assert caplog.text.count(said) == 1
            scene.worker(4)
            await scene.until(lambda: "workers serve queue 'celery': a0, a1" in caplog.text)
            assert "workers offer 4 slots" in caplog.text
            assert len(scene.client.polled) == 2

        play(steps, activities=2, slots=0)
