"""Ask sentinels which server is the primary, and close the connections to them afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis.asyncio.sentinel
import redis.sentinel

Node = tuple[str, int]


class Sentinels:
    """Finds the primary for redis-py's pool, in place of its ``Sentinel``, which stays connected.

    Args:
        min_others: How many other sentinels a sentinel must see before its answer counts.
        kwargs: redis-py's arguments of a connection to a sentinel.
    """

    def __init__(self, nodes: Sequence[Node], min_others: int, kwargs: dict[str, Any]) -> None:
        self._nodes = list(nodes)
        self._min_others = min_others
        self._kwargs = kwargs

    def discover_master(self, name: str) -> Node:
        """Host and port of the primary."""
        asked: Any = redis.sentinel.Sentinel(  # type: ignore[no-untyped-call]
            self._nodes, self._min_others, self._kwargs
        )
        try:
            host, port = asked.discover_master(name)
        finally:
            for sentinel in asked.sentinels:
                sentinel.close()
        self._nodes = _nodes_of(asked)
        return host, port


class AsyncSentinels(Sentinels):
    """``Sentinels`` for asyncio."""

    async def discover_master(self, name: str) -> Node:  # type: ignore[override]
        """Host and port of the primary."""
        asked: Any = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
            self._nodes, self._min_others, self._kwargs
        )
        try:
            host, port = await asked.discover_master(name)
        finally:
            for sentinel in asked.sentinels:
                await sentinel.aclose()
        self._nodes = _nodes_of(asked)
        return host, port


def _nodes_of(asked: Any) -> list[Node]:
    """The sentinels' addresses; the one that answered comes first."""
    told = [sentinel.connection_pool.connection_kwargs for sentinel in asked.sentinels]
    return [(each["host"], each["port"]) for each in told]
