"""Which workers publish the ticks."""

from __future__ import annotations

from celery import Celery

from bridge.celery import app as default_app
from bridge.processes.tick_publishing import SCHEDULER
from bridge.processes.tick_scheduler import TicksBesideSchedule, TickScheduler
from bridge.registry import SYSTEM_QUEUE
from tests.unit.processes.apps import make_app


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

    def test_a_scheduler_on_the_command_line_is_ignored_with_a_warning(self, caplog):
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
