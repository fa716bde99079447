"""Mends three things in kombu's Redis transport; each is optional, see ``bridge.versions``.

1. When the broker goes away under a worker with unacknowledged messages, Celery closes the
connection and kombu tries to give them back. The channel's connection has lost its client by then,
and what means "not connected" surfaces as ``AttributeError: 'NoneType' object has no attribute
'hostname'``, which nothing in Celery expects: the worker ends ("Unrecoverable error") instead of
waiting for the broker. The same happens to an acknowledgement that comes after the loss. Said as a
``ConnectionError``, Celery deals with it as with every other one. The messages stay in the broker's
unacked set; what they were to do is recovered from the claims.

2. A channel makes a new ``redis.Redis`` for each message that it publishes, receives or
acknowledges: an eighth of a worker's CPU, for an object that holds nothing but the pool of
connections. One for each pool does; it is made anew when the channel makes its pool anew.

3. A Redis that takes no writes for now ends workers (see ``refused_writes``). Where the channel
waits for messages, it pauses and asks again on the same connection: a new one would give back what
the worker runs. Only a server that is no primary any more is left. Everywhere else a refusal is
raised as a connection error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from queue import Empty
from time import monotonic
from typing import Any

from kombu.transport.redis import Channel
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from bridge.store.redis_errors import has_moved
from bridge.versions import enabled
from bridge.worker.redis_transport.refused_writes import PAUSE_S, WriteRefused, is_refusal, refusal

logger = logging.getLogger(__name__)

SAY_AGAIN_S = 30.0
"""A refusal that goes on is logged so often."""

_connparams = Channel._connparams
_create_client = Channel._create_client
_brpop_start = Channel._brpop_start
_brpop_read = Channel._brpop_read
_receive_one = Channel._receive_one


def _connparams_if_connected(self: Channel, asynchronous: bool = False) -> dict[str, Any]:
    if getattr(self.connection, "client", None) is None:
        raise RedisConnectionError("the connection of this channel is closed")
    params: dict[str, Any] = _connparams(self, asynchronous=asynchronous)
    return params


def _create_client_once(self: Channel, asynchronous: bool = False) -> Any:
    create = _create_client_raising if enabled("refusal mend") else _create_client
    if asynchronous:  # it keeps a connection of its own
        return create(self, asynchronous=True)
    pool = self.pool
    client = self.__dict__.get("_bridge_client")
    if client is None or client.connection_pool is not pool:
        client = self._bridge_client = create(self)
    return client


def _create_client_raising(self: Channel, asynchronous: bool = False) -> Any:
    """A redis-py client whose commands raise ``WriteRefused``.

    Outside of redis-py's own retries: within a transaction it would take a connection error for a
    changed key, and try again without end.
    """
    client = _create_client(self, asynchronous=asynchronous)
    client.__class__ = _client_class(type(client))  # type: ignore[arg-type]
    return client


@cache
def _client_class(base: Any) -> type:
    class Client(base):  # type: ignore[misc]
        def execute_command(self, *args: Any, **options: Any) -> Any:
            return _or_refusal(super().execute_command, *args, **options)

        def transaction(self, *args: Any, **options: Any) -> Any:
            return _or_refusal(super().transaction, *args, **options)

        def pipeline(self, *args: Any, **options: Any) -> Any:
            pipe = super().pipeline(*args, **options)
            pipe.__class__ = _pipeline_class(type(pipe))  # type: ignore[arg-type]
            return pipe

    return Client


@cache
def _pipeline_class(base: Any) -> type:
    class Pipeline(base):  # type: ignore[misc]
        def execute(self, *args: Any, **options: Any) -> Any:
            return _or_refusal(super().execute, *args, **options)

    return Pipeline


def _or_refusal(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    try:
        return call(*args, **options)
    except ResponseError as exc:
        if isinstance(exc, WriteRefused) or not is_refusal(exc):
            raise
        raise refusal(exc) from exc


def ask_unless_refused(channel: Channel, ask: Callable[[], None]) -> None:
    """Ask Redis for messages, but not in the pause that follows a refusal."""
    if monotonic() < channel.__dict__.get("_bridge_paused_until", 0.0):
        return
    try:
        ask()
    except ResponseError as exc:  # redis-py's PING before a command
        channel._in_poll = None
        _pause(channel, exc)


def read_unless_refused(channel: Channel, read: Callable[[], Any]) -> Any:
    """Read Redis' answer to ``ask_unless_refused``.

    Raises:
        Empty: It has none, or a refusal.
    """
    try:
        return read()
    except ResponseError as exc:
        _pause(channel, exc)
        raise Empty from exc


def _pause(channel: Channel, exc: ResponseError) -> None:
    if isinstance(exc, WriteRefused) or not is_refusal(exc):
        raise exc
    if has_moved(exc):
        raise refusal(exc) from exc
    now = monotonic()
    channel._bridge_paused_until = now + PAUSE_S
    if now >= channel.__dict__.get("_bridge_say_again", 0.0):
        channel._bridge_say_again = now + SAY_AGAIN_S
        logger.warning(
            "the broker's Redis refuses for now (%s: %s): no message is taken until it does not",
            type(exc).__name__,
            exc,
        )


def _brpop_start_or_pause(self: Channel, timeout: int | None = None) -> None:
    ask_unless_refused(self, lambda: _brpop_start(self, timeout))


def _brpop_read_or_pause(self: Channel, **options: Any) -> Any:
    return read_unless_refused(self, lambda: _brpop_read(self, **options))


def _receive_one_or_refusal(self: Channel, client: Any) -> Any:
    try:
        return _receive_one(self, client)
    except ResponseError as exc:
        if isinstance(exc, WriteRefused) or not is_refusal(exc):
            raise
        if "MISCONF" in str(exc):  # to redis-py's PING; the subscription holds
            raise Empty from exc
        raise refusal(exc) from exc


def mend() -> None:
    """Mend in this process what is enabled; harmless when repeated."""
    if enabled("broker loss mend"):
        Channel._connparams = _connparams_if_connected
    if enabled("refusal mend"):
        Channel._create_client = _create_client_raising
        Channel._brpop_start = _brpop_start_or_pause
        Channel._brpop_read = _brpop_read_or_pause
        Channel._receive_one = _receive_one_or_refusal
    if enabled("shared broker client"):
        Channel._create_client = _create_client_once
