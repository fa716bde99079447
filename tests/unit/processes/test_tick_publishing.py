"""Who publishes the ticks, and how many; with kombu's transport in memory."""

from __future__ import annotations

import itertools
import logging
import time

import pytest
from celery import Celery, Task
from celery.beat import PersistentScheduler, Scheduler

import bridge
from bridge.celery import app as default_app
from bridge.processes import beat, passes
from bridge.processes.tick_publishing import SCHEDULER
from bridge.processes.tick_scheduler import TicksBesideSchedule, TickScheduler
from bridge.processes.ticks import FLUSH, HEARTBEAT, METRICS, MOST_WAITING, RECOVER, SystemQueue
from bridge.registry import SYSTEM_QUEUE
from bridge.settings import Settings

OWN = {"own": {"task": "shop.own", "schedule": 1.0}}
TICK_S = 0.1
brokers = (f"memory://{n}" for n in itertools.count())


def make_app(**conf) -> Celery:
    """An app with a broker of its own, and the bridge."""
    app = Celery("shop", broker=next(brokers), set_as_current=False)
    app.conf.update(conf)
    bridge.install(app)
    app.bridge.settings = Settings(
        store_url="redis://127.0.0.1:1/0", tick_s=TICK_S, heartbeat_s=1, lease_s=1
    )
    return app


@pytest.fixture
def app():
    made = make_app()
    yield made
    made.close()
    # kombu keeps these queues in the process.
    with made.connection_for_write() as connection:
        connection.channel().queues.pop(SYSTEM_QUEUE, None)


def take_all(app: Celery) -> list[str]:
    """The tasks whose messages wait in the queue, which is empty then."""
    taken = []
    with app.connection_for_read() as connection:
        queue = app.amqp.queues[SYSTEM_QUEUE](connection.channel())
        queue.declare()
        while (message := queue.get(no_ack=True)) is not None:
            taken.append(message.headers["task"])
    return taken


def run(scheduler: Scheduler, for_s: float) -> None:
    """What Celery's beat does with a scheduler, for so long."""
    until = time.monotonic() + for_s
    while (now := time.monotonic()) < until:
        time.sleep(max(0.0, min(scheduler.tick(), until - now)))


class TestTheAppsOwnSchedule:
    def test_set_before(self):
        app = Celery("shop", set_as_current=False)
        app.conf.beat_schedule = OWN
        bridge.install(app)
        assert app.conf.beat_schedule == OWN

    def test_set_after(self):
        app = bridge.install(Celery("shop", set_as_current=False))
        assert app.conf.beat_schedule == {}
        app.conf.beat_schedule = OWN
        assert app.conf.beat_schedule == OWN

    @pytest.mark.parametrize("before", [True, False])
    def test_configured_by_an_object_of_a_namespace(self, before):
        class Settings:
            CELERY_BEAT_SCHEDULE = OWN

        app = Celery("shop", set_as_current=False)
        if before:
            app.config_from_object(Settings, namespace="CELERY")
        bridge.install(app)
        if not before:
            app.config_from_object(Settings, namespace="CELERY")
        assert app.conf.beat_schedule == OWN
        assert Settings.CELERY_BEAT_SCHEDULE == {"own": {"task": "shop.own", "schedule": 1.0}}

    @pytest.mark.parametrize("before", [True, False])
    def test_added_by_a_signal_handler(self, before):
        app = Celery("shop", set_as_current=False)

        @app.task(name="shop.own", shared=False)
        def own(): ...

        def add(sender, **_):
            sender.add_periodic_task(1.0, own.s(), name="own")

        if before:
            app.on_after_configure.connect(add)
        bridge.install(app)
        if not before:
            app.on_after_configure.connect(add)
        app.finalize()
        assert list(app.conf.beat_schedule) == ["own"]

    def test_the_scheduler_stays(self):
        plain = Celery("plain", set_as_current=False)
        app = bridge.install(Celery("shop", set_as_current=False))
        for name in ("beat_scheduler", "beat_schedule_filename", "beat_max_loop_interval"):
            assert app.conf[name] == plain.conf[name]

    def test_its_own_scheduler_publishes_no_ticks(self, tmp_path):
        app = make_app(beat_schedule=OWN)
        scheduler = PersistentScheduler(app, schedule_filename=str(tmp_path / "schedule"))
        assert set(scheduler.schedule) == {"own", "celery.backend_cleanup"}
        scheduler.close()


class TestTickScheduler:
    def test_publishes_each_tick_once_a_period_and_nothing_else(self):
        app = make_app(beat_schedule={"own": {"task": "shop.own", "schedule": 0.05}})
        scheduler = TickScheduler(app)
        assert scheduler.schedule == {}
        taken = []
        for _ in range(10):
            run(scheduler, TICK_S)
            taken += take_all(app)
        assert set(taken) == {HEARTBEAT, FLUSH, RECOVER}
        for name in set(taken):
            assert 8 <= taken.count(name) <= 10

    def test_publishes_the_apps_schedule_too_where_it_is_the_apps_beat(self):
        app = make_app(
            beat_schedule={
                "own": {
                    "task": "shop.own",
                    "schedule": 0.1,
                    "options": {"queue": SYSTEM_QUEUE},
                }
            }
        )
        run(TicksBesideSchedule(app), 3 * TICK_S)
        assert set(take_all(app)) == {HEARTBEAT, FLUSH, RECOVER, "shop.own"}

    def test_metrics_where_they_are_on(self, app, monkeypatch):
        monkeypatch.setattr("bridge.metrics.INTERVAL_S", 3 * TICK_S)
        app.bridge.settings = app.bridge.settings.model_copy(update={"metrics": "emf"})
        taken = []
        scheduler = TickScheduler(app)
        for _ in range(10):
            run(scheduler, TICK_S)
            taken += take_all(app)
        assert 2 <= taken.count(METRICS) <= 3

    def test_ticks_that_no_process_takes_stay_few(self, app):
        scheduler, queue = TickScheduler(app), SystemQueue(app)
        for _ in range(8):
            run(scheduler, TICK_S)
            assert queue.waiting() <= MOST_WAITING
        assert queue.waiting() == MOST_WAITING

    def test_every_kind_gets_room_in_turn(self, app):
        """A worker that takes one message a tick gets all kinds of them."""
        scheduler = TickScheduler(app)
        run(scheduler, 3 * TICK_S)
        taken = []
        with app.connection_for_read() as connection:
            queue = app.amqp.queues[SYSTEM_QUEUE](connection.channel())
            for _ in range(12):
                taken.append(queue.get(no_ack=True).headers["task"])
                run(scheduler, 1.5 * TICK_S)
        for name in (HEARTBEAT, FLUSH, RECOVER):
            assert taken.count(name) >= 3

    def test_several_publishers_stay_within_ten(self, app):
        others = [make_app() for _ in range(4)]
        for other in others:
            other.conf.broker_url = app.conf.broker_url
        schedulers = [TickScheduler(each) for each in (app, *others)]
        for _ in range(10):
            for scheduler in schedulers:
                run(scheduler, TICK_S / 5)
        assert SystemQueue(app).waiting() <= 10

    def test_a_clock_that_is_set_back_does_not_stop_it(self, app, monkeypatch):
        scheduler = TickScheduler(app)
        run(scheduler, 2.5 * TICK_S)
        assert take_all(app)
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() - 3600)
        run(scheduler, 2.5 * TICK_S)
        assert take_all(app)

    def test_a_broker_that_refuses_is_said_in_one_line(self, app, monkeypatch, caplog):
        scheduler = TickScheduler(app)

        def refuse(self):
            raise OSError("no route to the broker")

        with monkeypatch.context() as patch:
            patch.setattr(SystemQueue, "_count", refuse)
            with caplog.at_level(logging.WARNING):
                run(scheduler, 5 * TICK_S)
        assert 1 <= len(caplog.records) <= 5
        assert "no route to the broker" in caplog.text
        assert "Traceback" not in caplog.text
        run(scheduler, 2.5 * TICK_S)
        assert take_all(app)


class TestTick:
    def test_other_schedulers_cannot_flood_the_queue(self, app):
        """Half a second is 0 s for a scheduler that keeps whole seconds: it never pauses."""
        entry = {"task": HEARTBEAT, "schedule": 0.0, "options": {"queue": SYSTEM_QUEUE}}
        app.conf.beat_schedule = {"bridge.heartbeat": entry}
        scheduler = Scheduler(app)
        until = time.monotonic() + 10 * TICK_S
        taken = []
        while time.monotonic() < until:
            scheduler.tick()
            taken += take_all(app)
        assert 10 <= len(taken) <= 20

    def test_is_routed_by_itself(self, app):
        app.tasks[HEARTBEAT].apply_async()
        assert take_all(app) == [HEARTBEAT]

    def test_does_not_inherit_from_the_apps_own_base_class(self):
        class Refusing(Task):
            def apply_async(self, *args, **kwargs):
                raise AssertionError("not for the bridge's tasks")

        app = Celery("shop", task_cls=Refusing, set_as_current=False)
        bridge.install(app)
        assert not isinstance(app.tasks[HEARTBEAT], Refusing)


class TestPasses:
    def test_a_queue_of_old_ticks_is_not_worked_through(self, app, monkeypatch):
        done = []
        monkeypatch.setattr(passes, "runtime_of", lambda _: None)
        monkeypatch.setitem(passes.PASSES, HEARTBEAT, lambda *_: done.append(1))
        monkeypatch.setattr(beat, "_began_s", {})
        until = time.monotonic() + 3 * TICK_S
        asked = 0
        while time.monotonic() < until:
            asked += 1
            beat._pass(HEARTBEAT, app)
        assert asked > 100
        assert 3 <= len(done) <= 3 * beat.PASSES_A_PERIOD + 1


class TestWorker:
    @staticmethod
    def worker(app: Celery, **options):
        """Initialized as by the command, and not started."""
        made = app.WorkController(hostname="w@here", pool_cls="threads", concurrency=1, **options)
        return made, [str(step.alias) for step in made.steps]

    def test_with_b_on_the_bridges_queue_alone_publishes_ticks_only(self):
        app = make_app(worker_direct=True, worker_prefetch_multiplier=4)
        worker, steps = self.worker(app, beat=True, queues=[SYSTEM_QUEUE])
        assert worker.scheduler == SCHEDULER
        assert worker.beat.service.get_scheduler(lazy=True).__class__ is TickScheduler
        assert "Ticks" not in steps
        assert worker.prefetch_multiplier == 1

    def test_with_b_on_the_apps_queues_is_the_apps_own_beat(self):
        app = make_app(beat_scheduler="shop:Scheduler")
        worker, steps = self.worker(app, beat=True)
        assert worker.scheduler == "shop:Scheduler"
        assert "Ticks" not in steps
        assert worker.prefetch_multiplier == 4

    def test_with_b_on_both_has_two_beats(self):
        app = make_app(beat_scheduler="celery.beat:Scheduler")
        worker, steps = self.worker(app, beat=True, queues=["celery", SYSTEM_QUEUE])
        assert worker.scheduler == "celery.beat:Scheduler"
        assert {"Beat", "Ticks"} <= set(steps)

    def test_without_b_has_none(self):
        worker, steps = self.worker(make_app(), queues=[SYSTEM_QUEUE])
        assert not {"Beat", "Ticks"} & set(steps)
        assert worker.prefetch_multiplier == 1

    def test_a_scheduler_on_the_command_line_is_refused_in_words(self, caplog):
        worker, _ = self.worker(
            make_app(), beat=True, queues=[SYSTEM_QUEUE], scheduler="django:Scheduler"
        )
        assert worker.scheduler == SCHEDULER
        assert "--scheduler django:Scheduler is not used" in caplog.text

    def test_the_default_apps_beat_publishes_the_ticks_once(self):
        scheduler = default_app.conf.beat_scheduler
        app = make_app(beat_scheduler=scheduler)
        worker, steps = self.worker(app, beat=True, queues=["celery", SYSTEM_QUEUE])
        assert worker.beat.service.get_scheduler(lazy=True).__class__ is TicksBesideSchedule
        assert "Ticks" not in steps
