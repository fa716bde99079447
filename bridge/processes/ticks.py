"""Define ticks: the periodic messages on ``bridge.system`` that start passes in a beat process.

A tick carries no data, so a tick that waits makes the next one unnecessary. No more than a few
ticks wait, even if no process consumes them, and whether the bridge's scheduler publishes them or
an entry that an earlier version left in the database of an app's own scheduler. ``expires`` could
not limit them: a Redis list keeps expired messages, and expiry compares the clocks of two hosts.
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
"""While this many ticks wait, none is published. Four kinds of tick can be due at once."""
NOT_FOUND = "404"
"""AMQP's code for a queue that does not exist; on Redis an empty queue does not exist."""


def periods_s(settings: Settings) -> dict[str, float]:
    """The ticks that are published, with the period of each in seconds."""
    periods = dict.fromkeys((HEARTBEAT, FLUSH, RECOVER), settings.tick_s)
    return periods if settings.metrics == "off" else periods | {METRICS: metrics.INTERVAL_S}


def period_s(app: Celery, name: str) -> float:
    """The period of one kind, in seconds; also of a kind that the settings switch off."""
    return metrics.INTERVAL_S if name == METRICS else installed(app).settings.tick_s


class SystemQueue:
    """Counts the messages in ``bridge.system``, on a connection of its own.

    It does not use the publisher's connection, because RabbitMQ closes a channel that asks for a
    queue which does not exist.
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
    """Base class of the bridge's periodic tasks: it limits how many of their messages wait.

    Attributes:
        system_queue: Where the ticks of this app wait.
    """

    abstract = True
    system_queue: SystemQueue
    _published_at = float("-inf")

    def apply_async(self, args: Any = None, kwargs: Any = None, *more: Any, **options: Any) -> Any:
        """Publish the tick; None if it is not published: one has just been, or enough wait.

        A process publishes two ticks in a period at most. A scheduler that keeps whole seconds
        takes half a second for 0 s, and would publish without a pause.
        """
        if time.monotonic() - self._published_at < period_s(self.app, self.name) / 2:
            return None
        if self.system_queue.waiting() >= MOST_WAITING:
            return None
        options.setdefault("queue", SYSTEM_QUEUE)
        published = super().apply_async(args, kwargs, *more, **options)
        self._published_at = time.monotonic()
        return published
