"""Tell Redis together, ten times a second, which jobs a worker has taken and which are done.

kombu keeps in Redis what a worker has taken and not acknowledged, and tells it of each message
twice, with round trips for which the worker's loop waits: two fifths of what the loop does for a
job. Gathered, many share one, and a job that is done within the moment needs none.

Only jobs of the bridge are gathered; Redis hears of other tasks at once, as ever. A worker that is
killed in that moment leaves Redis ignorant of what it took, as it can in kombu between two
commands. Nothing is lost, for the claims know: what the worker had begun is found by its lease,
what it had not is published anew, and a job whose acknowledgement is lost comes again and meets the
fence.

What a Redis refuses that takes no writes for now is gathered too, of any task: without it kombu
loses the message that it has just taken, and keeps the room of one that is done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Container
from typing import Any

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks
from kombu.transport.redis import QoS
from kombu.transport.virtual import QoS as VirtualQoS
from kombu.utils.json import dumps

from bridge.model import Job
from bridge.worker.redis_transport.refused_writes import WriteRefused

logger = logging.getLogger(__name__)

GATHER_S = 0.1
"""How long Redis is not told, at most."""
AGAIN_S = 1.0
"""After it could not be told."""


class BatchAcks(bootsteps.StartStopStep):  # type: ignore[misc]
    """Consumer bootstep; optional (``bridge.versions``), for the inside of kombu's ``QoS``.

    It outlives a connection: what Redis did not hear before it went away is said to it again.
    """

    requires = (Tasks,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._hub = consumer.hub
        self._qos: QoS | None = None
        self._tasks: Container[str] = ()
        self._taken: dict[str, Any] = {}
        self._done: list[str] = []
        self._waiting = False

    def start(self, consumer: Any) -> None:
        """Gather, also after the broker was away."""
        qos = getattr(consumer.task_consumer.channel, "qos", None)
        if not isinstance(qos, QoS):  # another broker
            return
        self._qos = qos
        if self._hub is not None:  # else no timer would tell Redis of what was gathered
            self._tasks = consumer.app.bridge.registry.task_names
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
        append, ack, reject = qos.append, qos.ack, qos.reject

        def keep(message: Any, tag: str, *, for_s: float) -> None:
            VirtualQoS.append(qos, message, tag)  # without Redis
            self._taken[tag] = message
            self._flush_in(for_s)

        def done(tag: str, *, for_s: float) -> None:
            VirtualQoS.ack(qos, tag)  # makes room for the next message
            if self._taken.pop(tag, None) is None:
                self._done.append(tag)
                self._flush_in(for_s)

        def gather_append(message: Any, tag: str) -> None:
            if self._qos is not None and self._is_job(message, tag):
                keep(message, tag, for_s=GATHER_S)
                return
            try:
                append(message, tag)
                self._flush_without_loop()
            except WriteRefused as exc:
                if self._qos is None:
                    raise
                logger.info("the broker is not told yet of message %s: %s", tag, exc)
                keep(message, tag, for_s=AGAIN_S)

        def gather_ack(tag: str) -> None:
            if self._qos is not None and (
                tag in self._taken or self._is_job(qos._delivered.get(tag), tag)
            ):
                done(tag, for_s=GATHER_S)
                return
            try:
                ack(tag)
                self._flush_without_loop()
            except WriteRefused as exc:
                if self._qos is None:
                    raise
                logger.info("message %s is not acknowledged yet: %s", tag, exc)
                done(tag, for_s=AGAIN_S)

        def tell_of(tag: str) -> None:
            """Let kombu give back only what Redis knows of."""
            if tag in self._taken:
                self._flush()
            if tag in self._taken and self._qos is not None:
                raise WriteRefused(
                    f"message {tag} is not given back: the broker was not told of it"
                )

        def gather_reject(tag: str, requeue: bool = False) -> None:
            if requeue:
                tell_of(tag)
                reject(tag, requeue=True)
                return
            self._taken.pop(tag, None)
            try:
                reject(tag)
            except WriteRefused as exc:
                if self._qos is None:
                    raise
                logger.info("message %s is not rejected yet: %s", tag, exc)
                done(tag, for_s=AGAIN_S)

        def restore_told(tag: str, *args: Any, **kwargs: Any) -> None:
            tell_of(tag)
            restore(tag, *args, **kwargs)

        restore = qos.restore_by_tag
        qos.append, qos.ack = gather_append, gather_ack
        qos.reject, qos.restore_by_tag = gather_reject, restore_told

    def _is_job(self, message: Any, tag: Any) -> bool:
        if message is None or Job.of_headers(message.headers, self._tasks) is None:
            return False
        # What kombu itself could not keep is for kombu to refuse.
        delivery = message.delivery_info
        return (
            isinstance(tag, str)
            and tag.isascii()
            and "exchange" in delivery
            and ("routing_key" in delivery)
        )

    def _flush_in(self, seconds: float) -> None:
        if not self._waiting:
            self._waiting = True
            if self._hub is not None:
                self._hub.call_later(seconds, self._flush)

    def _flush_without_loop(self) -> None:
        """No timer does it; but a server that has taken this takes the rest."""
        if self._waiting and self._hub is None:
            self._flush()

    def _flush(self) -> None:
        self._waiting = False
        qos, taken, done = self._qos, self._taken, self._done
        if qos is None or not (taken or done):
            return
        self._taken, self._done = {}, []  # greenlets add to them meanwhile
        try:
            try:
                _tell(qos, taken, done)
            except WriteRefused:
                if taken and done:  # a full Redis takes what makes room
                    _tell(qos, {}, done)
                    done = []
                raise
        except Exception as exc:  # noqa: BLE001 (a timer of the worker's loop: said, and tried again)
            logger.warning(
                "the broker is not told of %d jobs taken and %d done yet: %s",
                len(taken),
                len(done),
                exc,
            )
            untold = {tag: taken[tag] for tag in taken if tag not in self._done}
            self._taken, self._done = {**untold, **self._taken}, done + self._done
            self._flush_in(AGAIN_S)


def _tell(qos: QoS, taken: dict[str, Any], done: list[str]) -> None:
    with qos.pipe_or_acquire() as pipe:
        if done:
            pipe.zrem(qos.unacked_index_key, *done).hdel(qos.unacked_key, *done)
        if kept := {tag: text for tag in taken if (text := _kept(taken[tag]))}:
            now = time.time()
            pipe.zadd(qos.unacked_index_key, dict.fromkeys(kept, now))
            pipe.hset(qos.unacked_key, mapping=kept)
        pipe.execute()


def _kept(message: Any) -> str:
    """A message as kombu keeps it, to give it back; empty: it cannot be kept."""
    delivery = message.delivery_info
    try:
        return str(dumps([message._raw, delivery["exchange"], delivery["routing_key"]]))
    except (RecursionError, TypeError, ValueError) as exc:
        logger.warning("a message runs that Redis cannot keep, nor give back: %r", exc)
        return ""
