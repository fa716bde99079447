"""Take several jobs from Redis in one round trip.

kombu asks Redis for one message (BRPOP), reads it, and asks for the next: a quarter of what a busy
worker does for a job. BLMPOP (Redis 7, Valkey) waits like BRPOP, and returns as many messages as
are there, up to a number.

- A worker asks for at most half as many as it has room for, if that is more than one; other workers
  get the rest. A worker that already waits gets each message when it is published.
- A message that Redis has sent, and that its worker has not read, is lost with the worker. A job is
  recovered from its claim, but another task is not. So after another task has come out of these
  queues, the worker asks for one message at a time, until ``JOBS_IN_A_ROW`` jobs have come.
- A message may be anything. The bridge only looks at it, and passes it to kombu unchanged; if kombu
  fails on it, the messages that came with it are put back where they were.
"""

from __future__ import annotations

import logging
from collections.abc import Container
from contextlib import suppress
from queue import Empty
from select import select
from time import monotonic
from typing import Any

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks
from kombu import Queue
from kombu.transport.redis import Channel
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from redis.exceptions import RedisError, ResponseError

from bridge.model import Job
from bridge.worker.pools import pool_of_class
from bridge.worker.redis_transport.class_change import change_class
from bridge.worker.redis_transport.refused_writes import (
    PausesAfterRefusal,
    is_refusal,
    write_refused,
)

logger = logging.getLogger(__name__)

MOST = 16
"""Messages of one round trip, at most."""
JOBS_IN_A_ROW = 50
"""After this many jobs without another task between them, the worker asks for more than one."""
LAST_ANSWER_S = 0.05
"""How long a worker that stops waits for an answer; Redis answers at once if messages are there."""
PROBE_S = 0.01
"""How long the call waits that finds out whether the server has BLMPOP and the user may call it."""


class TakeMany(bootsteps.StartStopStep):  # type: ignore[misc]
    """Consumer bootstep: makes the channel of the worker's tasks a ``ManyTakingChannel``.

    Optional part "batch receiving" (``bridge.versions``).
    """

    requires = (Tasks,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._channel: Channel | None = None
        self._jobs_in_a_row = 0
        self._tasks: Container[str] = ()

    def start(self, consumer: Any) -> None:
        """Change the new channel, after the start and after each loss of the broker."""
        self._channel = None
        tasks = consumer.task_consumer
        # Of no use without a loop, or with a pool that runs each job before it takes the next.
        blocks_loop = pool_of_class(type(consumer.pool)).blocks_loop
        if consumer.hub is None or consumer.app.conf.worker_disable_prefetch or blocks_loop:
            return
        channel = tasks.channel
        if isinstance(channel, Channel) and _can_take_many(channel, tasks.queues):
            self._tasks = consumer.app.bridge.registry.task_names
            self._channel = channel
            change_class(channel, ManyTakingChannel)
            channel._bridge_step = self
            channel.handlers["BRPOP"] = channel._brpop_read  # kombu keeps the method there

    def stop(self, consumer: Any) -> None:
        """Give back what comes from now on: the worker ends, or has lost the broker.

        kombu reads the last answer when it closes the channel, which may be after the last job has
        ended. The several jobs in that answer must not wait so long.
        """
        channel, self._channel = self._channel, None
        if channel is None or not channel._in_poll:
            return
        with suppress(Empty, OSError, ValueError, *channel.connection_errors):
            readable, *_ = select([channel._in_poll._sock], [], [], LAST_ANSWER_S)
            if readable:
                channel._brpop_read()

    def takes_from(self, channel: Channel) -> bool:
        """Whether the worker takes messages from this channel now."""
        return self._channel is channel

    def count(self, channel: Channel) -> int:
        """How many messages to ask for."""
        if self._jobs_in_a_row < JOBS_IN_A_ROW:
            return 1
        room = channel.qos.can_consume_max_estimate()  # None: without limit
        return MOST if room is None else max(1, min(room // 2, MOST))

    def note(self, raw: Any) -> None:
        """Note whether a message, as Redis has it, is a job of the bridge."""
        headers = raw.get("headers") if isinstance(raw, dict) else None
        is_job = Job.of_headers(headers, self._tasks) is not None
        self._jobs_in_a_row = self._jobs_in_a_row + 1 if is_job else 0


class ManyTakingChannel(PausesAfterRefusal):
    """kombu's channel, asking for messages with BLMPOP in place of BRPOP."""

    _bridge_step: TakeMany

    def _brpop_start(self, timeout: int | None = None) -> None:
        self._ask_unless_paused(lambda: self._ask_for_many(timeout))

    def _brpop_read(self, **options: Any) -> Any:
        return self._read_or_pause(lambda: self._read_many(**options))

    def _ask_for_many(self, timeout: int | None) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        keys = [self._q_for_pri(queue, pri) for pri in self.priority_steps for queue in queues]
        wait_s = (self.brpop_timeout if timeout is None else timeout) or 0
        count = self._bridge_step.count(self)
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        self.client.connection.send_command(
            "BLMPOP", wait_s, len(keys), *keys, "RIGHT", "COUNT", count
        )

    def _read_many(self, **options: Any) -> bool:
        client = self.client
        try:
            try:
                answer = client.parse_response(client.connection, "BLMPOP", **options)
            except self.connection_errors:
                client.connection.disconnect()  # the next turn of the loop connects again
                raise
            if not answer:
                raise Empty
            key, messages = answer
            queue = bytes_to_str(key).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            if self._bridge_step.takes_from(self):
                self._deliver_many(queue, key, messages)
            else:
                self._give_back(key, messages)
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _deliver_many(self, queue: str, key: bytes, messages: list[bytes]) -> None:
        for number, message in enumerate(messages, 1):
            try:
                raw = loads(bytes_to_str(message))
                self._bridge_step.note(raw)
                self.connection._deliver(raw, queue)
            except BaseException:
                self._give_back(key, messages[number:])
                raise

    def _give_back(self, key: bytes, messages: list[bytes]) -> None:
        """Put messages that were not looked at back where they were taken from."""
        # If the broker is away, recovery dispatches the claims of the jobs again.
        with suppress(RedisError, OSError), self.conn_or_acquire() as client:
            if messages:
                client.rpush(key, *reversed(messages))


def _can_take_many(channel: Channel, queues: list[Queue]) -> bool:
    """Whether the server has BLMPOP and the user may call it."""
    if channel.global_keyprefix:  # kombu adds it to the keys of BRPOP, but not of BLMPOP
        return False
    # The key has the form of the queue's keys for priorities, but no priority has this one.
    key = f"{queues[0].name if queues else ''}{channel.sep}probe"
    try:
        with channel.conn_or_acquire() as client:
            client.blmpop(PROBE_S, 1, key, direction="RIGHT")
    except ResponseError as exc:
        if is_refusal(exc):  # Redis refuses every command for now
            raise write_refused(exc) from exc
        logger.info("jobs are taken one by one, because Redis refuses BLMPOP: %s", exc)
        return False
    return True
