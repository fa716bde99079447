"""A Celery app with three tasks, two of them activities, and a worker that is not started."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery import Celery
from celery.worker import state

from tests.unit.worker.made import TASKS


@pytest.fixture
def app():
    app = Celery("jobs", broker="memory://", set_as_current=False)
    app.conf.worker_hijack_root_logger = False
    app.conf.worker_prefetch_multiplier = 1
    app.bridge = SimpleNamespace(registry=SimpleNamespace(task_names=TASKS))

    def task(event):
        return event

    app.task(task, shared=False, name="jobs.plain")
    app.task(task, shared=False, name="jobs.limited", rate_limit="6/m")
    app.task(task, shared=False, name="shop.report", rate_limit="6/m")
    app.finalize()
    yield app
    state.reset_state()
    state.should_stop = None


@pytest.fixture
def worker(app):
    return app.WorkController(pool="solo", concurrency=4, hostname="w@host")
