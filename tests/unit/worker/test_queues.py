"""Which queues a worker consumes that was started without ``-Q``, and with it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery import Celery
from kombu import Queue

from bridge.registry import SYSTEM_QUEUE
from bridge.worker.queues import choose_queues


def consumed(*, imports_tasks: bool, given: list[str] | None = None) -> list[str]:
    app = Celery("jobs", broker="memory://", set_as_current=False)
    app.conf.task_queues = [Queue("celery"), Queue(SYSTEM_QUEUE)]
    if given is not None:
        app.amqp.queues.select(given)
    registry = SimpleNamespace(queues=["video", "mail"])
    choose_queues(app, SimpleNamespace(imports_tasks=imports_tasks, registry=registry))
    return sorted(app.amqp.queues.consume_from)


def test_a_worker_of_celery_a_bridge_consumes_the_queue_of_every_activity():
    assert consumed(imports_tasks=True) == ["celery", "mail", "video"]


def test_a_worker_of_another_app_consumes_what_celery_chose_but_the_system_queue():
    assert consumed(imports_tasks=False) == ["celery"]


@pytest.mark.parametrize("imports_tasks", [True, False])
def test_queues_that_the_user_chose_stay(imports_tasks):
    given = [SYSTEM_QUEUE, "video"]
    assert consumed(imports_tasks=imports_tasks, given=given) == [SYSTEM_QUEUE, "video"]
