"""Ticks: the periodic messages on ``bridge.system``, each of which begins a pass in a beat process.

A tick says only that it is time, so one that waits makes the next superfluous. Whatever publishes
them (the bridge's scheduler, or an entry that an earlier version left in the database of an app's
own scheduler), only a few ever wait, even if no process consumes them. ``expires`` cannot do that:
a Redis list keeps expired messages, and expiry compares the clocks of two hosts.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from celery import Celery, Task
from kombu import Connection
from kombu.common import ignore_errors

from bridge import metrics
from bridge.app_state import installed
from bridge.registry import SYSTEM_QUEUE
from bridge.settings import Settings

HEARTBEAT = "bridge.heartbeat"
FLUSH = "bridge.flush_outbox"
RECOVER = "bridge.recover"
METRICS = "bridge.metrics"
MOST_WAITING = 5
"""No tick is published while so many wait: more than the four kinds that can be due at once."""
NOT_FOUND = "404"
"""AMQP's code for a queue that does not exist; on Redis an empty one does not."""


def periods_s(settings: Settings) -> dict[str, float]:
    """Which ticks are published, and how often: the period of each, in seconds."""
    periods = dict.fromkeys((HEARTBEAT, FLUSH, RECOVER), settings.tick_s)
    return periods if settings.metrics == "off" else periods | {METRICS: metrics.INTERVAL_S}


def period_s(app: Celery, name: str) -> float:
    """The period of one kind, in seconds; also of a kind that the settings switch off."""
    return metrics.INTERVAL_S if name == METRICS else installed(app).settings.tick_s


class SystemQueue:
    """Counts what waits in ``bridge.system``, on a connection of its own.

    Not on the publisher's: RabbitMQ closes the channel that asks for a queue that does not exist.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._pid = 0
        self._connection: Connection | None = None
        self._channel: Any = None

    def waiting(self) -> int:
        """How many messages no process has taken yet; 0 when the queue does not exist.

        Raises:
            Exception: One of the broker's client: the broker does not answer, or refuses.
        """
        with self._lock:
            if self._pid != os.getpid():
                # A fork must not use its parent's connection, nor close it.
                self._pid, self._connection, self._channel = os.getpid(), None, None
            try:
                return self._count()
            except BaseException:
                self._disconnect()
                raise

    def _count(self) -> int:
        if self._connection is None:
            self._connection = self._app.connection_for_write()
        if self._channel is None:
            self._channel = self._connection.channel()
        try:
            # Passive: declares nothing, only counts.
            found = self._channel.queue_declare(queue=SYSTEM_QUEUE, passive=True)
        except self._connection.channel_errors as exc:
            if str(getattr(exc, "reply_code", "")) != NOT_FOUND:
                raise
            return 0
        return int(found.message_count)

    def _disconnect(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            ignore_errors(connection, connection.release)


class Tick(Task):  # type: ignore[misc]
    """Base of the bridge's periodic tasks, for whatever publishes them.

    Attributes:
        system_queue: Where the ticks of this app wait.
    """

    abstract = True
    system_queue: SystemQueue
    _published_at = float("-inf")

    def apply_async(self, args: Any = None, kwargs: Any = None, *more: Any, **options: Any) -> Any:
        """Publish the tick; None if it is not: one was just published, or enough are waiting.

        A scheduler that keeps whole seconds makes 0 s of half a second, and would publish without
        pause: at most two ticks a period leave a process.
        """
        if time.monotonic() - self._published_at < period_s(self.app, self.name) / 2:
            return None
        if self.system_queue.waiting() >= MOST_WAITING:
            return None
        options.setdefault("queue", SYSTEM_QUEUE)
        published = super().apply_async(args, kwargs, *more, **options)
        self._published_at = time.monotonic()
        return published
