"""Acknowledge a worker's jobs together, a moment after they are done.

kombu tells Redis of each message that is done with a round trip of its own, for which the worker's
loop waits: a fifth of what the loop does for a job. Gathered, many share one. Only jobs of the
bridge are: one whose acknowledgement is lost, because its worker was killed in that moment, comes
again and meets the fence. Other tasks are acknowledged at once, as ever.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks
from kombu.transport.redis import QoS
from kombu.transport.virtual import QoS as VirtualQoS

from bridge.model import Job

logger = logging.getLogger(__name__)

GATHER_S = 0.02
"""How long an acknowledgement waits for others."""
AGAIN_S = 1.0
"""After the broker did not take them."""


class GatherAcks(bootsteps.StartStopStep):  # type: ignore[misc]
    """Consumer bootstep; kombu pinned below 5.8 for the keys of ``QoS``.

    It outlives a connection: what the broker did not hear before it went away is said again.
    """

    requires = (Tasks,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._hub = consumer.hub
        self._qos: QoS | None = None
        self._done: list[str] = []
        self._waiting = False

    def start(self, consumer: Any) -> None:
        """Gather, also after the broker was away."""
        qos = consumer.task_consumer.channel.qos
        if self._hub is None or not isinstance(qos, QoS):  # nothing that a round trip would keep
            return
        self._qos = qos
        qos.ack = self._gathering(qos)
        self._waiting = False  # the timers of the loop before are gone
        if self._done:
            self._flush_in(GATHER_S)

    def stop(self, consumer: Any) -> None:
        """Gather nothing more: the worker ends, or has lost the broker."""
        self._flush()
        self._qos = None

    def _gathering(self, qos: QoS) -> Callable[[str], None]:
        at_once = qos.ack

        def ack(tag: str) -> None:
            message = qos._delivered.get(tag)
            if self._qos is None or message is None or Job.parse(message.headers.get("id")) is None:
                at_once(tag)
                return
            VirtualQoS.ack(qos, tag)  # makes room for the next message, and tells nobody
            self._done.append(tag)
            self._flush_in(GATHER_S)

        return ack

    def _flush_in(self, seconds: float) -> None:
        if not self._waiting:
            self._waiting = True
            self._hub.call_later(seconds, self._flush)

    def _flush(self) -> None:
        self._waiting = False
        tags, qos = self._done, self._qos
        if not tags or qos is None:
            return
        try:
            with qos.pipe_or_acquire() as pipe:
                pipe.zrem(qos.unacked_index_key, *tags).hdel(qos.unacked_key, *tags).execute()
        except Exception as exc:  # noqa: BLE001 (a timer of the worker's loop: said, and tried again)
            logger.warning("%d acknowledgements wait for the broker: %s", len(tags), exc)
            self._flush_in(AGAIN_S)
        else:
            self._done = []
