"""Read from Celery's objects what a worker has: slots, what occupies them, queues and jobs.

All of it can change while the worker runs: remote control grows and shrinks the pool and starts and
stops consumers, and ordinary tasks take slots. The lease's thread reads while other threads change
these objects. Where another version of Celery, or another pool, lacks one of them, its value counts
as unknown. An exception would keep the lease from being renewed.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from celery.worker import state

from bridge.model import Job
from bridge.worker.celery_state import active_requests, is_ending, snapshot
from bridge.worker.rate_limit_buckets import RateLimitBuckets

logger = logging.getLogger(__name__)

T = TypeVar("T")

ORDINARY_AFTER_S = 0.5
"""An ordinary task counts as occupying its slot after this time; a shorter one leaves it soon."""
FETCHES_SAMPLES = 4
"""A worker counts as fetching when this many samples in a row find room for another message. If a
worker fetches, a job in its queues that no worker has, and that does not start, is taken for lost:
recovery publishes it again. A busy worker has room for moments only, and jobs still wait in its
queues; so it must not count as fetching."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the worker tells the store; ``JobStore.renew_lease`` says what each field means."""

    slots: int
    queues: tuple[str, ...]
    ordinary: int
    fetches: bool
    held_back: frozenset[str]


class OccupancyReader:
    """Reads what one worker has.

    Args:
        worker: Celery's ``WorkController``.
        tasks: Names of the tasks that are activities.
    """

    def __init__(self, worker: Any, tasks: Iterable[str]) -> None:
        self._worker = worker
        self._tasks = frozenset(tasks)
        self._queues: tuple[str, ...] | None = None
        self._began: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self._sampled = time.monotonic()
        self._room: deque[bool] = deque([False], maxlen=FETCHES_SAMPLES)
        self._buckets = RateLimitBuckets(self._tasks)
        self._warned = False

    def sample(self, *, draining: bool = False) -> Announcement:
        """What the worker would announce now. Cheap: it reads only what runs and what is held back.

        Args:
            draining: Whether the worker ends, so that it offers no slots.
        """
        slots = 0 if draining or is_ending() else self._try(self._slots, self._configured())
        return Announcement(
            slots=slots,
            queues=self._try(self._consumed, self._queues or ()),
            ordinary=self._try(self._ordinary, 0),
            fetches=self._try(lambda: self._fetches(slots), False),
            held_back=self._try(self._held_back, frozenset()),
        )

    def active(self) -> set[str]:
        """The claims whose jobs run."""
        return set(self.claims_of(active_requests()))

    def revoked(self) -> set[str]:
        """The claims whose jobs run although they were revoked. The job of a closed claim is."""
        jobs = filter(None, map(self.job_of, active_requests()))
        return {job.claim_id for job in jobs if job.id in state.revoked}

    def claims(self) -> set[str]:
        """The claims whose jobs Celery has given the worker: running, waiting, or for later."""
        # Read in the order in which Celery moves a request (timers, buckets of rate limits, all
        # requests, running requests), so that none is missed. The buckets are read twice: Celery
        # takes the first request out of its bucket for a moment, to see whether the rate limit lets
        # it run.
        found = set(self.claims_of(self._try(lambda: list(self._scheduled()), [])))
        found.update(self.claims_of(self._try(self._in_buckets, [])))
        found.update(self.claims_of(snapshot(state.requests.values)))
        found.update(self.claims_of(self._try(self._in_buckets, [])))
        return found | self.active()

    def claims_of(self, requests: Iterable[Any]) -> Iterator[str]:
        """The claims of those requests that are jobs of the bridge."""
        for request in requests:
            if job := self.job_of(request):
                yield job.claim_id

    def job_of(self, request: Any) -> Job | None:
        """The job of a request; None for another task, even if its id looks like a job's."""
        # Almost no id of another task has this form; the task's name decides the rest.
        job = Job.parse(request.id)
        return job if job is not None and request.type in self._tasks else None

    def _try(self, read: Callable[[], T], unknown: T) -> T:
        try:
            return read()
        except Exception:
            if not self._warned:
                logger.exception(
                    "some of what worker %s does cannot be read; it announces the rest",
                    self._worker.hostname,
                )
            self._warned = True
            return unknown

    def _configured(self) -> int:
        return int(self._worker.concurrency or 1)

    def _slots(self) -> int:
        pool = getattr(self._worker, "pool", None)
        scaler = getattr(self._worker, "autoscaler", None)
        # Celery's pool of threads cannot grow: an autoscaler leaves its size as it is.
        if callable(getattr(pool, "grow", None)) or not getattr(pool, "active", False):
            configured = self._worker.max_concurrency if self._worker.autoscale else None
            most = getattr(scaler, "max_concurrency", configured)
            if most is not None:
                return int(most)
        # The size of a green pool is `_pool.size`. In Celery 5.5 and 5.6 a gevent pool's
        # `num_processes` counts only the greenlets that run, and its `limit` stays the same when
        # the pool grows.
        size = getattr(getattr(pool, "_pool", None), "size", None)
        try:
            if getattr(pool, "is_green", False):
                return max(0, int(pool.limit if size is None else size))  # type: ignore[union-attr]
            return max(0, int(pool.num_processes))  # type: ignore[union-attr]
        except (AttributeError, TypeError):  # the pool has not started, or does not say
            return self._configured()

    def _consumed(self) -> tuple[str, ...]:
        tasks = getattr(self._consumer, "task_consumer", None)
        if tasks is not None:
            self._queues = tuple(sorted({queue.name for queue in tasks.queues}))
        elif self._queues is None:  # not connected yet
            chosen = self._worker.app.amqp.queues.consume_from
            return tuple(sorted({getattr(queue, "name", key) for key, queue in chosen.items()}))
        return self._queues  # after a lost connection, those that it consumed before

    @property
    def _consumer(self) -> Any:
        return getattr(self._worker, "consumer", None)

    def _ordinary(self) -> int:
        now, began = time.monotonic(), WeakKeyDictionary[Any, float]()
        for request in active_requests():
            if self.job_of(request) is None:
                since = self._began.get(request)
                if since is None:
                    # Celery notes the wall clock, which may have been set since.
                    lasted = time.time() - (getattr(request, "time_start", None) or time.time())
                    since = now - min(max(0.0, lasted), now - self._sampled)
                began[request] = since
        self._began, self._sampled = began, now
        return sum(now - since >= ORDINARY_AFTER_S for since in began.values())

    def _fetches(self, slots: int) -> bool:
        self._room.append(self._has_room(slots))
        return len(self._room) == FETCHES_SAMPLES and all(self._room)

    def _has_room(self, slots: int) -> bool:
        consumer = self._consumer
        tasks = getattr(consumer, "task_consumer", None)
        connection = getattr(consumer, "connection", None)
        if tasks is None or connection is None or not connection.connected:
            return False
        if not any(tasks.consuming_from(queue) for queue in tasks.queues):
            return False
        # A full pool of greenlets blocks the loop that fetches, and a solo pool runs in that loop.
        if len(state.active_requests) >= slots:
            return False
        # Where the broker does not apply the prefetch count, kombu does: `can_consume` says whether
        # the count allows another message. Celery's setting worker_disable_prefetch replaces it.
        can_consume = getattr(getattr(tasks.channel, "qos", None), "can_consume", None)
        if can_consume is not None:
            return bool(can_consume())
        # `qos.value` is not used: it includes room for tasks with an ETA, and the consumer of a
        # quorum queue keeps the prefetch count with which it began.
        most = consumer.initial_prefetch_count
        held = len(state.reserved_requests) + len(self._in_buckets())
        return not most or held < most

    def _in_buckets(self) -> list[Any]:
        self._buckets.look(self._consumer)
        return self._buckets.requests()

    def _held_back(self) -> frozenset[str]:
        self._buckets.look(self._consumer)
        return frozenset(self.claims_of(self._buckets.held_back()))

    def _scheduled(self) -> Iterator[Any]:
        """The requests that wait in timers; Celery 5.5 and 5.6 keep them in no other place.

        Each bucket of a rate limit has an entry in the timers too. A bucket that Celery replaced
        before a sample saw it is found only here, and is given to ``_buckets``.
        """
        timer = getattr(self._consumer, "timer", None)
        for waiting in snapshot(timer.schedule.queue) if timer is not None else ():
            entry = getattr(waiting, "entry", None)
            first = next(iter(getattr(entry, "args", None) or ()), None)
            if hasattr(first, "id") and hasattr(first, "type"):
                yield first
            elif hasattr(first, "contents") and hasattr(first, "fill_rate"):
                self._buckets.add(first)
