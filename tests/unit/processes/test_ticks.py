"""How a tick is published, by whatever scheduler."""

from __future__ import annotations

import time

from celery import Celery, Task
from celery.beat import Scheduler

import bridge
from bridge.processes.ticks import HEARTBEAT
from bridge.registry import SYSTEM_QUEUE
from tests.unit.processes.apps import TICK_S, take_all


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
