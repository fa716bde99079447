"""Mends one thing in kombu 5.7's Redis transport; pinned below 5.8 for it.

When the broker goes away under a worker with unacknowledged messages, Celery closes the connection
and kombu tries to give them back. The channel's connection has lost its client by then, and what
means "not connected" surfaces as ``AttributeError: 'NoneType' object has no attribute 'hostname'``,
which nothing in Celery expects: the worker ends ("Unrecoverable error") instead of waiting for the
broker. The same happens to an acknowledgement that comes after the loss.

Said as a ``ConnectionError``, Celery deals with it as with every other one. The messages stay in
the broker's unacked set; what they were to do is recovered from the claims.
"""

from __future__ import annotations

from typing import Any

from kombu.transport.redis import Channel
from redis.exceptions import ConnectionError as RedisConnectionError

_connparams = Channel._connparams


def _connparams_if_connected(self: Channel, asynchronous: bool = False) -> dict[str, Any]:
    if getattr(self.connection, "client", None) is None:
        raise RedisConnectionError("the connection of this channel is closed")
    params: dict[str, Any] = _connparams(self, asynchronous=asynchronous)
    return params


def mend() -> None:
    """Mend it in this process; harmless when repeated."""
    Channel._connparams = _connparams_if_connected
