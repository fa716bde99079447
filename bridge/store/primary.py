"""Connections to a server by its name, which may come to mean another one.

ElastiCache, Azure Cache and Memorystore fail over so: the address of the primary leads to the
replica that has taken over. The old server may live on as a replica, with our connections to it,
and would refuse every write for ever. So a connection that has met such a refusal is made anew, by
name, before the next call. See also ``store.sentinel`` and ``store.cluster``.
"""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from redis.exceptions import ResponseError

from bridge.store.redis_errors import has_moved


class PrimaryConnection(redis.Connection):
    """A connection that is made anew when its server is no primary any more.

    Not within ``read_response``: the rest of a batch's answers are still to be read.
    """

    _moved = False

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The answer; notes one that says that another server may be the primary."""
        try:
            return super().read_response(*args, **kwargs)
        except ResponseError as exc:
            self._moved = self._moved or has_moved(exc)
            raise

    def send_packed_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send a command; connects first where there is no connection."""
        if self._moved:
            self._moved = False
            self.disconnect()  # type: ignore[no-untyped-call]
        return super().send_packed_command(*args, **kwargs)  # type: ignore[no-untyped-call]


class PrimarySSLConnection(PrimaryConnection, redis.SSLConnection):
    """The same with TLS."""


class AsyncPrimaryConnection(redis.asyncio.Connection):
    """The same, asyncio."""

    _moved = False

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The answer; notes one that says that another server may be the primary."""
        try:
            return await super().read_response(*args, **kwargs)
        except ResponseError as exc:
            self._moved = self._moved or has_moved(exc)
            raise

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send a command; connects first where there is no connection."""
        if self._moved:
            self._moved = False
            await self.disconnect()
        return await super().send_packed_command(*args, **kwargs)


class AsyncPrimarySSLConnection(AsyncPrimaryConnection, redis.asyncio.SSLConnection):
    """The same with TLS."""
