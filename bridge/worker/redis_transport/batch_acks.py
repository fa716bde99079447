"""Tell Redis in batches, ten times a second, which jobs a worker has taken and which are done.

kombu keeps in Redis what a worker has taken and not acknowledged. It tells Redis of each message
twice, in round trips that the worker's loop waits for: two fifths of what the loop does for a job.
In a batch, many jobs share one round trip, and a job that is done before the batch is sent needs
none.

Only jobs of the bridge are batched; Redis is told of other tasks at once. When a worker is killed,
Redis may lack the last 0.1 s of this; with kombu alone, it may lack one message. No job is lost,
because of the claims: when the worker's lease has ended, recovery finds the jobs that had begun,
and it publishes again those that had not. A job whose acknowledgement is lost is delivered again,
and the fence stops it.

While Redis refuses writes, the messages of other tasks are batched as well. Otherwise kombu would
lose a message that it has just taken, and would not free the room of one that is done.
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
from bridge.worker.redis_transport.class_change import change_class
from bridge.worker.redis_transport.refused_writes import WriteRefused

logger = logging.getLogger(__name__)

BATCH_S = 0.1
"""The most time until Redis is told."""
RETRY_S = 1.0
"""How long after a try that failed the next one follows."""


class BatchAcks(bootsteps.StartStopStep):  # type: ignore[misc]
    """Consumer bootstep: makes the QoS of the worker's tasks a ``BatchingQoS``, and tells Redis.

    Optional part "gathered deliveries" (``bridge.versions``). What Redis was not told before a
    connection was lost is told on the next one.
    """

    requires = (Tasks,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._hub = consumer.hub
        self._qos: QoS | None = None
        self._tasks: Container[str] = ()
        self._taken: dict[str, Any] = {}
        self._done: list[str] = []
        self._is_flush_due = False

    def start(self, consumer: Any) -> None:
        """Change the new connection's QoS, after the start and after each loss of the broker."""
        qos = getattr(consumer.task_consumer.channel, "qos", None)
        if not isinstance(qos, QoS):  # another broker
            return
        self._qos = qos
        if self._hub is not None:  # without a loop, no timer would tell Redis later
            self._tasks = consumer.app.bridge.registry.task_names
        change_class(qos, BatchingQoS)
        qos._bridge_step = self
        self._is_flush_due = False  # the timers of the last connection's loop are gone
        if self._taken or self._done:
            self._flush_in(BATCH_S)

    def stop(self, consumer: Any) -> None:
        """Batch nothing more: the worker ends, or has lost the broker."""
        self._flush()
        self._qos = None

    @property
    def batches(self) -> bool:
        """Whether messages are batched; they are not between ``stop`` and ``start``."""
        return self._qos is not None

    def is_untold(self, tag: str) -> bool:
        """Whether Redis was not told yet that this message is taken."""
        return tag in self._taken

    def is_batched(self, message: Any, tag: Any) -> bool:
        """Whether this message is a job of the bridge that kombu could keep in Redis."""
        if message is None or Job.of_headers(message.headers, self._tasks) is None:
            return False
        # What kombu cannot keep is left to kombu, which refuses it.
        delivery = message.delivery_info
        if not isinstance(tag, str) or not tag.isascii():
            return False
        return "exchange" in delivery and "routing_key" in delivery

    def take(self, message: Any, tag: str, *, within_s: float) -> None:
        """Tell Redis within this time that the message is taken."""
        self._taken[tag] = message
        self._flush_in(within_s)

    def finish(self, tag: str, *, within_s: float) -> None:
        """Tell Redis within this time that the message is done, if Redis knows of it."""
        if self._taken.pop(tag, None) is None:
            self._done.append(tag)
            self._flush_in(within_s)

    def forget(self, tag: str) -> None:
        """Do not tell Redis that this message is taken."""
        self._taken.pop(tag, None)

    def tell_now(self, tag: str) -> None:
        """Tell Redis of this message now: it can give back only what it knows.

        Raises:
            WriteRefused: Redis could not be told.
        """
        if tag in self._taken:
            self._flush()
        if tag in self._taken and self.batches:
            raise WriteRefused(f"message {tag} is not given back: the broker was not told of it")

    def flush_without_loop(self) -> None:
        """After Redis has taken a write: tell it what it refused before, if no timer does that."""
        if self._is_flush_due and self._hub is None:
            self._flush()

    def _flush_in(self, seconds: float) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            if self._hub is not None:
                self._hub.call_later(seconds, self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        qos, taken, done = self._qos, self._taken, self._done
        if qos is None or not (taken or done):
            return
        self._taken, self._done = {}, []  # greenlets add to them meanwhile
        try:
            try:
                _tell(qos, taken, done)
            except WriteRefused:
                if taken and done:  # a full Redis accepts what frees memory
                    _tell(qos, {}, done)
                    done = []
                raise
        except Exception as exc:  # noqa: BLE001 (a timer of the worker's loop: logged and retried)
            logger.warning(
                "the broker is not told of %d jobs taken and %d done yet: %s",
                len(taken),
                len(done),
                exc,
            )
            untold = {tag: taken[tag] for tag in taken if tag not in self._done}
            self._taken, self._done = {**untold, **self._taken}, done + self._done
            self._flush_in(RETRY_S)


class BatchingQoS(QoS):  # type: ignore[misc]
    """kombu's account of the messages that a worker has taken, told to Redis in batches."""

    _bridge_step: BatchAcks

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note that a message is taken."""
        step = self._bridge_step
        if step.batches and step.is_batched(message, delivery_tag):
            self._append_later(message, delivery_tag, within_s=BATCH_S)
            return
        try:
            super().append(message, delivery_tag)
            step.flush_without_loop()
        except WriteRefused as exc:
            if not step.batches:
                raise
            logger.info("the broker is not told yet of message %s: %s", delivery_tag, exc)
            self._append_later(message, delivery_tag, within_s=RETRY_S)

    def ack(self, delivery_tag: str) -> None:
        """Note that a message is done."""
        step = self._bridge_step
        if step.batches and (
            step.is_untold(delivery_tag)
            or step.is_batched(self._delivered.get(delivery_tag), delivery_tag)
        ):
            self._ack_later(delivery_tag, within_s=BATCH_S)
            return
        try:
            super().ack(delivery_tag)
            step.flush_without_loop()
        except WriteRefused as exc:
            if not step.batches:
                raise
            logger.info("message %s is not acknowledged yet: %s", delivery_tag, exc)
            self._ack_later(delivery_tag, within_s=RETRY_S)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Note that a message is rejected, or give it back to its queue."""
        step = self._bridge_step
        if requeue:
            step.tell_now(delivery_tag)
            super().reject(delivery_tag, requeue=True)
            return
        step.forget(delivery_tag)
        try:
            super().reject(delivery_tag)
        except WriteRefused as exc:
            if not step.batches:
                raise
            logger.info("message %s is not rejected yet: %s", delivery_tag, exc)
            self._ack_later(delivery_tag, within_s=RETRY_S)

    def restore_by_tag(self, tag: str, *args: Any, **kwargs: Any) -> None:
        """Give a message back to its queue."""
        self._bridge_step.tell_now(tag)
        super().restore_by_tag(tag, *args, **kwargs)

    def _append_later(self, message: Any, tag: str, *, within_s: float) -> None:
        VirtualQoS.append(self, message, tag)  # without Redis
        self._bridge_step.take(message, tag, within_s=within_s)

    def _ack_later(self, tag: str, *, within_s: float) -> None:
        VirtualQoS.ack(self, tag)  # without Redis: makes room for the next message
        self._bridge_step.finish(tag, within_s=within_s)


def _tell(qos: QoS, taken: dict[str, Any], done: list[str]) -> None:
    with qos.pipe_or_acquire() as pipe:
        if done:
            pipe.zrem(qos.unacked_index_key, *done).hdel(qos.unacked_key, *done)
        if kept := {tag: text for tag in taken if (text := _as_kept(taken[tag]))}:
            now = time.time()
            pipe.zadd(qos.unacked_index_key, dict.fromkeys(kept, now))
            pipe.hset(qos.unacked_key, mapping=kept)
        pipe.execute()


def _as_kept(message: Any) -> str:
    """A message as kombu keeps it in Redis, to give it back; empty: it cannot be kept."""
    delivery = message.delivery_info
    try:
        return str(dumps([message._raw, delivery["exchange"], delivery["routing_key"]]))
    except (RecursionError, TypeError, ValueError) as exc:
        logger.warning("a message runs that Redis cannot keep, nor give back: %r", exc)
        return ""
