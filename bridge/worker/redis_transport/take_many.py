"""Take several jobs from Redis in one round trip.

kombu asks Redis for one message, reads it, and asks for the next: a quarter of what a busy worker
does for a job. BLMPOP (Redis 7, Valkey) waits as kombu's BRPOP does, and brings as many as are
there, up to a number.

- A worker takes no more than half of what it has room for, if that is more than one: others that
  come meanwhile get the rest. Those that wait already got each its own, as they were published.
- A message that Redis has given away, and its worker has not read, is lost with the worker. The
  claims bring a job back, and nothing brings another task back; so once another task has come out
  of these queues, each message is taken by itself, as ever, until a row of jobs has come.
- A message may be anything. It is looked at, and goes on as Redis gave it to what kombu does with
  it; if that fails, those that came with it are put back where they were.
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
from bridge.worker.redis_transport.kombu_fixes import ask_unless_refused, read_unless_refused
from bridge.worker.redis_transport.refused_writes import is_refusal, refusal

logger = logging.getLogger(__name__)

MOST = 16
"""Messages of one round trip."""
JOBS_IN_A_ROW = 50
"""After so many without another task between them, more than one is taken."""
LAST_ANSWER_S = 0.05
"""Redis answers at once where messages wait."""
PROBE_S = 0.01
"""The shortest that BLMPOP waits: for nothing, to see whether this server and user know it."""


class TakeMany(bootsteps.StartStopStep):  # type: ignore[misc]
    """Consumer bootstep; optional (``bridge.versions``), for the inside of kombu's ``Channel``."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._channel: Channel | None = None
        self._jobs_in_a_row = 0
        self._tasks: Container[str] = ()

    def start(self, consumer: Any) -> None:
        """Take several where it can be, also after the broker was away."""
        self._channel = None
        tasks = consumer.task_consumer
        # Without a loop, or with a pool that runs a job before it takes the next, there is no use.
        blocks_loop = pool_of_class(type(consumer.pool)).blocks_loop
        if consumer.hub is None or consumer.app.conf.worker_disable_prefetch or blocks_loop:
            return
        if isinstance(tasks.channel, Channel) and _can_take_several(tasks.channel, tasks.queues):
            self._channel = tasks.channel
            self._tasks = consumer.app.bridge.registry.task_names
            self._take_several(tasks.channel)

    def stop(self, consumer: Any) -> None:
        """The worker ends, or has lost the broker: what comes now is given back.

        kombu reads a last answer when it closes the channel, after the last job; several jobs are
        not to wait for that.
        """
        channel, self._channel = self._channel, None
        if channel is None or not channel._in_poll:
            return
        with suppress(Empty, OSError, ValueError, *channel.connection_errors):
            readable, *_ = select([channel._in_poll._sock], [], [], LAST_ANSWER_S)
            if readable:
                channel._brpop_read()

    def count(self, channel: Channel) -> int:
        """How many messages to ask for."""
        if self._jobs_in_a_row < JOBS_IN_A_ROW:
            return 1
        room = channel.qos.can_consume_max_estimate()  # None: without limit
        return MOST if room is None else max(1, min(room // 2, MOST))

    def _take_several(self, channel: Channel) -> None:
        """Put ourselves in the place of what kombu asks Redis, and how it reads the answer."""

        def ask(timeout: int | None = None) -> None:
            queues = channel._queue_cycle.consume(len(channel.active_queues))
            if not queues:
                return
            keys = [
                channel._q_for_pri(queue, pri) for pri in channel.priority_steps for queue in queues
            ]
            wait_s = (channel.brpop_timeout if timeout is None else timeout) or 0
            channel._in_poll = channel.client.connection
            channel._brpop_sent_at = monotonic()
            channel.client.connection.send_command(
                "BLMPOP", wait_s, len(keys), *keys, "RIGHT", "COUNT", self.count(channel)
            )

        def read(**options: Any) -> bool:
            client = channel.client
            try:
                try:
                    answer = client.parse_response(client.connection, "BLMPOP", **options)
                except channel.connection_errors:
                    client.connection.disconnect()  # the next turn connects again
                    raise
                if not answer:
                    raise Empty
                key, messages = answer
                queue = bytes_to_str(key).rsplit(channel.sep, 1)[0]
                channel._queue_cycle.rotate(queue)
                if self._channel is channel:
                    self._deliver(channel, queue, key, messages)
                else:  # stopped
                    _give_back(channel, key, messages)
                return True
            finally:
                channel._in_poll = None
                channel._flush_brpop_reauth()

        def ask_or_pause(timeout: int | None = None) -> None:
            ask_unless_refused(channel, lambda: ask(timeout))

        def read_or_pause(**options: Any) -> Any:
            return read_unless_refused(channel, lambda: read(**options))

        channel._brpop_start = ask_or_pause
        channel._brpop_read = channel.handlers["BRPOP"] = read_or_pause

    def _deliver(self, channel: Channel, queue: str, key: bytes, messages: list[bytes]) -> None:
        for number, message in enumerate(messages, 1):
            try:
                raw = loads(bytes_to_str(message))
                headers = raw.get("headers") if isinstance(raw, dict) else None
                is_job = Job.of_headers(headers, self._tasks) is not None
                self._jobs_in_a_row = self._jobs_in_a_row + 1 if is_job else 0
                channel.connection._deliver(raw, queue)
            except BaseException:
                _give_back(channel, key, messages[number:])
                raise


def _give_back(channel: Channel, key: bytes, messages: list[bytes]) -> None:
    """Put messages that were not looked at where they were taken from."""
    # If the broker is away, the claims bring the jobs back.
    with suppress(RedisError, OSError), channel.conn_or_acquire() as client:
        if messages:
            client.rpush(key, *reversed(messages))


def _can_take_several(channel: Channel, queues: list[Queue]) -> bool:
    """Whether the server has BLMPOP and the user may call it."""
    if channel.global_keyprefix:  # kombu knows where the keys of BRPOP stand, and not of this
        return False
    # Named as the keys of its priorities are, and there is no such priority.
    key = f"{queues[0].name if queues else ''}{channel.sep}probe"
    try:
        with channel.conn_or_acquire() as client:
            client.blmpop(PROBE_S, 1, key, direction="RIGHT")
    except ResponseError as exc:
        if is_refusal(exc):  # of every command, for now
            raise refusal(exc) from exc
        logger.info("jobs are taken one by one, for Redis refuses BLMPOP: %s", exc)
        return False
    return True
