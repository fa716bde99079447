"""Let a worker fetch other messages beside jobs that it holds back for a ``rate_limit``.

A message that a worker holds back is not acknowledged, so it counts against the prefetch count:
when it holds back as many jobs as it has slots, it fetches nothing else. For a task with an ETA,
Celery raises the count while it waits. The bridge does the same for a job that waits for its rate
limit, and not for ordinary tasks.

RabbitMQ's quorum queues have a fixed prefetch count for each consumer, for ETA tasks too.
"""

from __future__ import annotations

import logging
from typing import Any
from weakref import WeakKeyDictionary

from celery import bootsteps

from bridge.model import Job

logger = logging.getLogger(__name__)


class RaisePrefetch(bootsteps.Step):  # type: ignore[misc]
    """Consumer bootstep: raises the prefetch count by one for each job that is held back.

    Optional part "room beside rate limits" (``bridge.versions``). The count is raised when Celery
    puts the job into the bucket of its rate limit, and lowered when the job leaves for the pool; a
    job that need not wait does both at once. A lost connection empties the buckets, and the next
    one has a new count.
    """

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._consumer = consumer
        self._tasks = consumer.app.bridge.registry.task_names
        self._given: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        try:
            self._limit, self._limit_post_eta, self._move = (
                consumer._limit_task,
                consumer._limit_post_eta,
                consumer._limit_move_to_pool,
            )
        except AttributeError as exc:  # a consumer class of the app's own
            logger.info("jobs held back for a rate_limit take the room of other jobs: %s", exc)
            return
        # The strategies of the tasks are made later, and keep these methods.
        consumer._limit_task = self._limit_task
        consumer._limit_post_eta = self._limit_task_post_eta
        consumer._limit_move_to_pool = self._move_to_pool

    def _limit_task(self, request: Any, *args: Any) -> Any:
        self._give_room(request)
        return self._limit(request, *args)

    def _limit_task_post_eta(self, request: Any, *args: Any) -> Any:
        self._give_room(request)
        return self._limit_post_eta(request, *args)

    def _move_to_pool(self, request: Any, *args: Any) -> Any:
        qos = self._given.pop(request, None)
        # After a lost connection Celery may have set the count anew, without this job's room.
        if qos is not None and qos.value > self._consumer.initial_prefetch_count:
            qos.decrement_eventually()
        return self._move(request, *args)

    def _give_room(self, request: Any) -> None:
        qos = self._consumer.qos
        if Job.parse(request.id) is None or request.type not in self._tasks or not qos.value:
            return  # 0: the worker fetches without a limit
        most = getattr(qos, "max_prefetch", None)  # worker_eta_task_limit
        if most is None or qos.value < most:
            qos.increment_eventually()
            self._given[request] = qos
