"""Publish the task events of a worker's jobs together, ten times a second.

Celery publishes the events of a job (received, started, succeeded) in the next turn of the worker's
loop: one message for each event where jobs come one by one. Published together they cost a third.
An event of another task is published at once, together with what waits.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.worker.consumer.events import Events

from bridge.model import Job

BATCH_S = 0.1
"""How much later an event of a job is published, at most."""
MOST_EVENTS = 400
"""Events of one message, about 100 kB; more are published at once. Celery's own limit is 24."""


class BatchEvents(bootsteps.StartStopStep):  # type: ignore[misc]
    """Consumer bootstep: delays what Celery does when an event is in its buffer.

    Optional part "gathered events" (``bridge.versions``).
    """

    requires = (Events,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._waiting = self._stopped = False
        self._consumer = consumer
        self._at_once = consumer.on_send_event_buffered
        if consumer.hub is not None:  # without a loop, events are published one by one
            consumer.on_send_event_buffered = self._buffered

    def start(self, consumer: Any) -> None:
        """Delay events, after the start and after each loss of the broker."""
        self._stopped = False
        self._waiting = False  # the timers of the last connection's loop are gone
        if consumer.hub is not None and consumer.event_dispatcher is not None:
            consumer.event_dispatcher.buffer_limit = MOST_EVENTS

    def _buffered(self) -> None:
        if self._stopped or not self._is_of_job():  # a stopped worker's timers may never fire
            self._at_once()
        elif not self._waiting:
            self._waiting = True
            # This may be a thread of the pool, and only the loop may set its timers.
            self._consumer.hub.call_soon(self._wait)

    def _is_of_job(self) -> bool:
        """Whether the last event in Celery's buffer is about a job of the bridge."""
        dispatcher = self._consumer.event_dispatcher
        if dispatcher is None:
            return False
        try:
            event = dispatcher._group_buffer["task"][-1]
        except IndexError:  # this is a thread of the pool, and the loop has just published it
            return False
        return Job.parse(event.get("uuid")) is not None

    def _wait(self) -> None:
        self._consumer.hub.call_later(BATCH_S, self._flush)

    def _flush(self) -> None:
        self._waiting = False
        self._consumer._flush_events()

    def stop(self, consumer: Any) -> None:
        """Publish what waits, and delay nothing more: the worker ends, or has lost the broker."""
        self._stopped = True
        self._at_once()
