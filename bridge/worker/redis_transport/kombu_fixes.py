"""Fix three faults of kombu's Redis channel; each fix is a subclass, and can be switched off.

``fix_channels`` gives kombu's Redis transports a subclass of the channel that they had, with the
fixes that ``bridge.versions`` enables. The subclass serves every connection to Redis that kombu
opens later in this process, an app's own producers included. kombu's class ``Channel`` stays as it
is.
"""

from __future__ import annotations

from queue import Empty
from typing import Any

from kombu.transport.redis import Channel, SentinelTransport, Transport
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from bridge.versions import Name, enabled
from bridge.worker.redis_transport.class_change import change_class, in_front_of
from bridge.worker.redis_transport.refused_writes import (
    PausesAfterRefusal,
    WriteRefused,
    is_refusal,
    raising_write_refused,
    write_refused,
)


class SurvivesLostBroker(Channel):  # type: ignore[misc]
    """Fix "broker loss mend": raise a connection error when the broker is lost.

    When Redis goes away under a worker with unacknowledged messages, Celery closes the connection
    and kombu tries to give the messages back. The channel's connection has no client by then, and
    kombu raises ``AttributeError: 'NoneType' object has no attribute 'hostname'``. Celery does not
    expect that, and ends the worker ("Unrecoverable error") instead of waiting for the broker. The
    same happens to an acknowledgement after the loss. The messages stay in the broker's unacked
    set, and recovery dispatches the claims of their jobs again.
    """

    def _connparams(self, asynchronous: bool = False) -> Any:
        if getattr(self.connection, "client", None) is None:
            raise RedisConnectionError("the connection of this channel is closed")
        return super()._connparams(asynchronous=asynchronous)


class RaisingClient(Redis):
    """A redis-py client whose commands raise ``WriteRefused``."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command."""
        return raising_write_refused(super().execute_command, *args, **options)

    def transaction(self, *args: Any, **options: Any) -> Any:
        """Run a transaction, with redis-py's retries."""
        return raising_write_refused(super().transaction, *args, **options)

    def pipeline(self, *args: Any, **options: Any) -> Any:
        """A pipeline whose commands raise ``WriteRefused``."""
        pipe = super().pipeline(*args, **options)
        change_class(pipe, RaisingPipeline)
        return pipe


class RaisingPipeline(Pipeline):
    """A pipeline of such a client."""

    def execute(self, *args: Any, **options: Any) -> Any:
        """Send the commands."""
        return raising_write_refused(super().execute, *args, **options)


class SurvivesRefusals(PausesAfterRefusal):
    """Fix "refusal mend": a Redis that refuses writes for now does not end the worker.

    Where the channel waits for messages, it pauses (``PausesAfterRefusal``). Everywhere else it
    raises ``WriteRefused``.
    """

    def _create_client(self, asynchronous: bool = False) -> Any:
        # The error is replaced outside redis-py's own retries: within a transaction redis-py would
        # take a connection error for a changed key, and try again without end.
        client = super()._create_client(asynchronous=asynchronous)
        change_class(client, RaisingClient)
        return client

    def _brpop_start(self, timeout: int | None = None) -> None:
        self._ask_unless_paused(lambda: super(SurvivesRefusals, self)._brpop_start(timeout))

    def _brpop_read(self, **options: Any) -> Any:
        return self._read_or_pause(lambda: super(SurvivesRefusals, self)._brpop_read(**options))

    def _receive_one(self, client: Any) -> Any:
        try:
            return super()._receive_one(client)
        except ResponseError as exc:
            if isinstance(exc, WriteRefused) or not is_refusal(exc):
                raise
            if "MISCONF" in str(exc):  # the answer to redis-py's PING; the subscription holds
                raise Empty from exc
            raise write_refused(exc) from exc


class SharesClient(Channel):  # type: ignore[misc]
    """Fix "shared broker client": a channel keeps one Redis client for each connection pool.

    kombu makes a ``redis.Redis`` for each message that it publishes, receives or acknowledges: an
    eighth of a worker's CPU, for an object that holds nothing but the pool. When the channel makes
    a new pool, it gets a new client.
    """

    _bridge_client: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:  # such a client keeps a connection of its own
            return super()._create_client(asynchronous=True)
        pool, client = self.pool, self._bridge_client
        if client is None or client.connection_pool is not pool:
            client = self._bridge_client = super()._create_client()
        return client


FIXES: dict[Name, type[Channel]] = {
    "shared broker client": SharesClient,
    "refusal mend": SurvivesRefusals,
    "broker loss mend": SurvivesLostBroker,
}
"""Optional part of ``bridge.versions`` → the subclass with its fix, the outermost first."""


def fix_channels() -> None:
    """Give kombu's Redis transports channels with the enabled fixes; harmless when repeated."""
    fixes = tuple(fix for name, fix in FIXES.items() if enabled(name))
    for transport in (Transport, SentinelTransport):
        if fixes:
            transport.Channel = in_front_of(transport.Channel, *fixes)
