"""The prefetch count is restored by the worker's loop, whichever thread acknowledges a message."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from celery import Celery
from celery.worker import WorkController
from celery.worker.consumer import Consumer

from bridge.worker.prefetch import RESTORE, RestorePrefetchInLoop


def test_celery_has_the_method_that_is_replaced():
    assert callable(getattr(Consumer, RESTORE))


def test_only_the_loop_restores_the_prefetch_count(monkeypatch):
    """Without a hub, as here, what the loop is to do waits in ``_pending_operations``."""
    restored_by = []
    monkeypatch.setattr(
        Consumer, RESTORE, lambda self, *_: restored_by.append(threading.current_thread())
    )
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.steps["consumer"].add(RestorePrefetchInLoop)
    worker = WorkController(app=app, pool="threads", concurrency=1)
    consumer = Consumer(
        on_task_request=print, pool=None, app=app, hub=None, controller=worker, worker_options={}
    )
    consumer.restart_count = 1
    consumer._maximum_prefetch_restored = False
    restore = getattr(consumer, RESTORE)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(restore, None).result()
    assert restored_by == []
    for operation in consumer._pending_operations:
        operation()
    assert restored_by == [threading.main_thread()]
