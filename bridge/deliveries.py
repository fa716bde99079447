"""Tell Redis together, ten times a second, which jobs a worker has taken and which are done.

kombu keeps in Redis what a worker has taken and not acknowledged, and tells it of each message
twice, with round trips for which the worker's loop waits: two fifths of what the loop does for a
job. Gathered, many share one, and a job that is done within the moment needs none.

Only jobs of the bridge are gathered; Redis hears of other tasks at once, as ever. A worker that is
killed in that moment leaves Redis ignorant of what it took, as it can in kombu between two
commands. Nothing is lost, for the claims know: what the worker had begun is found by its lease,
what it had not is published anew, and a job whose acknowledgement is lost comes again and meets the
fence.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks
from kombu.transport.redis import QoS
from kombu.transport.virtual import QoS as VirtualQoS
from kombu.utils.json import dumps

from bridge.model import Job

logger = logging.getLogger(__name__)

GATHER_S = 0.1
"""How long Redis is not told, at most."""
AGAIN_S = 1.0
"""After it could not be told."""


class GatherDeliveries(bootsteps.StartStopStep):  # type: ignore[misc]
    """Consumer bootstep; optional (``bridge.versions``), for the inside of kombu's ``QoS``.

    It outlives a connection: what Redis did not hear before it went away is said to it again.
    """

    requires = (Tasks,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._hub = consumer.hub
        self._qos: QoS | None = None
        self._taken: dict[str, Any] = {}
        self._done: list[str] = []
        self._waiting = False

    def start(self, consumer: Any) -> None:
        """Gather, also after the broker was away."""
        qos = getattr(consumer.task_consumer.channel, "qos", None)
        if self._hub is None or not isinstance(qos, QoS):  # no loop, or another broker
            return
        self._qos = qos
        self._gather(qos)
        self._waiting = False  # the timers of the loop before are gone
        if self._taken or self._done:
            self._flush_in(GATHER_S)

    def stop(self, consumer: Any) -> None:
        """Gather nothing more: the worker ends, or has lost the broker."""
        self._flush()
        self._qos = None

    def _gather(self, qos: QoS) -> None:
        """Put ourselves in front of what kombu would tell Redis."""
        append, ack = qos.append, qos.ack

        def gather_append(message: Any, tag: str) -> None:
            if self._qos is None or not _is_job(message):
                append(message, tag)
                return
            VirtualQoS.append(qos, message, tag)  # without Redis
            self._taken[tag] = message
            self._flush_in(GATHER_S)

        def gather_ack(tag: str) -> None:
            if self._qos is None or not _is_job(qos._delivered.get(tag)):
                ack(tag)
                return
            VirtualQoS.ack(qos, tag)  # makes room for the next message
            if self._taken.pop(tag, None) is None:
                self._done.append(tag)
                self._flush_in(GATHER_S)

        def told(give_up: Callable[..., None]) -> Callable[..., None]:
            """What kombu does, for messages that Redis knows."""

            def give_up_told(tag: str, *args: Any, **kwargs: Any) -> None:
                if tag in self._taken:
                    self._flush()
                give_up(tag, *args, **kwargs)

            return give_up_told

        qos.append, qos.ack = gather_append, gather_ack
        qos.reject, qos.restore_by_tag = told(qos.reject), told(qos.restore_by_tag)

    def _flush_in(self, seconds: float) -> None:
        if not self._waiting:
            self._waiting = True
            self._hub.call_later(seconds, self._flush)

    def _flush(self) -> None:
        self._waiting = False
        qos, taken, done = self._qos, self._taken, self._done
        if qos is None or not (taken or done):
            return
        try:
            with qos.pipe_or_acquire() as pipe:
                if done:
                    pipe.zrem(qos.unacked_index_key, *done).hdel(qos.unacked_key, *done)
                if taken:
                    now = time.time()
                    pipe.zadd(qos.unacked_index_key, dict.fromkeys(taken, now))
                    pipe.hset(qos.unacked_key, mapping={tag: _kept(taken[tag]) for tag in taken})
                pipe.execute()
        except Exception as exc:  # noqa: BLE001 (a timer of the worker's loop: said, and tried again)
            logger.warning("the broker is not told of %d jobs taken and %d done yet: %s",
                           len(taken), len(done), exc)  # fmt: skip
            self._flush_in(AGAIN_S)
        else:
            self._taken, self._done = {}, []


def _is_job(message: Any) -> bool:
    return message is not None and Job.parse(message.headers.get("id")) is not None


def _kept(message: Any) -> str:
    """A message as kombu keeps it, to give it back."""
    delivery = message.delivery_info
    return str(dumps([message._raw, delivery["exchange"], delivery["routing_key"]]))
