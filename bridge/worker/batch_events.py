"""Gather the events of a worker's jobs for a moment before they are published.

Celery sends what a job has to say (received, started, succeeded) with the next turn of the worker's
loop: one message each where jobs come one by one. Gathered, they cost a third. The events of other
tasks leave as ever, and take with them what is gathered.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.worker.consumer.events import Events

from bridge.model import Job

GATHER_S = 0.1
"""How much later Flower hears of a job, at most."""
MOST_EVENTS = 400
"""Of one message, some 100 kB: so many leave at once. Celery's own limit of 24 is eight jobs."""


class BatchEvents(bootsteps.StartStopStep):  # type: ignore[misc]
    """Consumer bootstep; optional (``bridge.versions``), for the inside of Celery's consumer."""

    requires = (Events,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._waiting = self._stopped = False
        self._consumer = consumer
        self._at_once = consumer.on_send_event_buffered
        if consumer.hub is not None:  # else nothing is gathered: events leave one by one
            consumer.on_send_event_buffered = self._buffered

    def start(self, consumer: Any) -> None:
        """Gather, also after the broker was away."""
        self._stopped = False
        self._waiting = False  # the timers of the loop before are gone
        if consumer.hub is not None and consumer.event_dispatcher is not None:
            consumer.event_dispatcher.buffer_limit = MOST_EVENTS

    def _buffered(self) -> None:
        if self._stopped or not self._is_of_job():  # timers do not outlive the last job
            self._at_once()
        elif not self._waiting:
            self._waiting = True
            # Perhaps from a thread of the pool: only the loop may set its timers.
            self._consumer.hub.call_soon(self._wait)

    def _is_of_job(self) -> bool:
        """Whether the last event in Celery's buffer is of a job of the bridge."""
        dispatcher = self._consumer.event_dispatcher
        buffered = dispatcher and dispatcher._group_buffer["task"]
        return bool(buffered) and Job.parse(buffered[-1].get("uuid")) is not None

    def _wait(self) -> None:
        self._consumer.hub.call_later(GATHER_S, self._flush)

    def _flush(self) -> None:
        self._waiting = False
        self._consumer._flush_events()

    def stop(self, consumer: Any) -> None:
        """Gather nothing more: the worker ends, or has lost the broker."""
        self._stopped = True
        self._at_once()
