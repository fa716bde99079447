"""Connect to the primary by a name that leads to another server after a failover.

ElastiCache, Azure Cache and Memorystore fail over this way: the primary's name then leads to the
replica that has taken over. The old server may go on as a replica, keep our connections, and refuse
every write. So a connection whose server has refused a write for that reason is closed and opened
anew, by name, before the next call. See also ``store.sentinel`` and ``store.cluster``.
"""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from redis.exceptions import ResponseError

from bridge.store.redis_errors import has_moved


class PrimaryConnection(redis.Connection):
    """A connection that is opened anew when its server is not the primary any more.

    It is not opened anew in ``read_response``, because other answers of a batch may still be read.
    """

    _moved = False

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The answer; notes an error that says that another server may be the primary."""
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
    """``PrimaryConnection`` with TLS."""


class AsyncPrimaryConnection(redis.asyncio.Connection):
    """``PrimaryConnection`` for asyncio."""

    _moved = False

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The answer; notes an error that says that another server may be the primary."""
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
    """``AsyncPrimaryConnection`` with TLS."""
