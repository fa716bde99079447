"""Mends two things in kombu's Redis transport; each is optional, see ``bridge.versions``.

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
"""

from __future__ import annotations

from typing import Any

from kombu.transport.redis import Channel
from redis.exceptions import ConnectionError as RedisConnectionError

from bridge.versions import enabled

_connparams = Channel._connparams
_create_client = Channel._create_client


def _connparams_if_connected(self: Channel, asynchronous: bool = False) -> dict[str, Any]:
    if getattr(self.connection, "client", None) is None:
        raise RedisConnectionError("the connection of this channel is closed")
    params: dict[str, Any] = _connparams(self, asynchronous=asynchronous)
    return params


def _create_client_once(self: Channel, asynchronous: bool = False) -> Any:
    if asynchronous:  # it keeps a connection of its own
        return _create_client(self, asynchronous=True)
    pool = self.pool
    client = self.__dict__.get("_bridge_client")
    if client is None or client.connection_pool is not pool:
        client = self._bridge_client = _create_client(self)
    return client


def mend() -> None:
    """Mend in this process what is enabled; harmless when repeated."""
    if enabled("broker loss mend"):
        Channel._connparams = _connparams_if_connected
    if enabled("shared broker client"):
        Channel._create_client = _create_client_once
