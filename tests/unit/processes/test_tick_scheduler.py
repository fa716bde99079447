"""Which ticks the schedulers publish, and that the app keeps its own schedule."""

from __future__ import annotations

import logging
import time

import pytest
from celery import Celery
from celery.beat import PersistentScheduler

import bridge
from bridge.processes.tick_scheduler import TicksBesideSchedule, TickScheduler
from bridge.processes.ticks import FLUSH, HEARTBEAT, METRICS, MOST_WAITING, RECOVER, SystemQueue
from bridge.registry import SYSTEM_QUEUE
from tests.unit.processes.apps import OWN, TICK_S, make_app, run, take_all


class TestTheAppsOwnSchedule:
    def test_one_set_before_the_installation_stays(self):
        app = Celery("shop", set_as_current=False)
        app.conf.beat_schedule = OWN
        bridge.install(app)
        assert app.conf.beat_schedule == OWN

    def test_one_set_after_the_installation_stays(self):
        app = bridge.install(Celery("shop", set_as_current=False))
        assert app.conf.beat_schedule == {}
        app.conf.beat_schedule = OWN
        assert app.conf.beat_schedule == OWN

    @pytest.mark.parametrize("before", [True, False])
    def test_one_configured_by_an_object_of_a_namespace_stays(self, before):
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
    def test_one_added_by_a_signal_handler_stays(self, before):
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

    def test_publishes_metrics_ticks_if_metrics_are_on(self, app, monkeypatch):
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

    def test_a_broker_that_refuses_is_logged_in_one_line(self, app, monkeypatch, caplog):
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
