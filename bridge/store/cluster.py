"""Connect to the node of a Redis Cluster that has the claims.

All keys of the bridge have one hash tag, so they are in one slot, which is on one node at a time. A
cluster is therefore used like servers with Sentinel: one primary, which may change. redis-py's pool
for Sentinel asks at each new connection where the primary is; here it asks the cluster's nodes. A
node that does not have the slot any more answers MOVED: its connection is closed, and the call is
repeated on a new one.

While a slot moves key by key, its node redirects single calls (ASK). redis-py's client for clusters
would follow, and run a script where only some of its keys are. Here this is an outage until the
whole slot has moved. See also ``scripts.keys_of``.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, MovedError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.sentinel import MasterNotFoundError

Node = tuple[str, int]
_SLOTS = "CLUSTER SLOTS"
_NODE_ERRORS = (RedisError, OSError)
"""What a node that cannot answer raises; then the next node is asked."""


class _Map:
    """The known nodes of the cluster, and which of them has a key's slot."""

    def __init__(self, nodes: Iterable[Node], key: str) -> None:
        self._named = list(nodes)
        self._found: list[Node] = []
        self._slot = key_slot(key.encode())

    def to_ask(self) -> list[Node]:
        """The nodes found, in a random order because one may be cut off; then those of the URL."""
        found = random.sample(self._found, len(self._found))
        return [*found, *(node for node in self._named if node not in found)]

    def read(self, answer: Any, asked: Node) -> Node | None:
        """The node that has the slot, from a node's CLUSTER SLOTS; None: it names no such node."""
        owner, found = None, []
        for begin, end, *nodes in answer:
            at = [(str(host or asked[0]), int(port)) for host, port, *_ in nodes]
            found += at
            if int(begin) <= self._slot <= int(end) and at:
                owner = at[0]
        self._found = list(dict.fromkeys(found))
        return owner

    def not_found(self, errors: list[str]) -> MasterNotFoundError:
        said = "; ".join(errors) or f"slot {self._slot} has none"
        return MasterNotFoundError(f"no node of the cluster has the claims ({said})")


class SlotOwner:
    """Finds the node that has a key's slot, for redis-py's pool, which expects sentinels here.

    Args:
        kwargs: redis-py's arguments of a connection to any node.
    """

    def __init__(self, nodes: Iterable[Node], key: str, kwargs: dict[str, Any]) -> None:
        self._map = _Map(nodes, key)
        self._kwargs = kwargs

    def discover_master(self, _: str) -> Node:
        """Host and port of the node."""
        errors = []
        for node in self._map.to_ask():
            client: Any = redis.Redis(*node, **self._kwargs)
            try:
                owner = self._map.read(client.execute_command(_SLOTS), node)
            except _NODE_ERRORS as exc:
                errors.append(f"{node[0]}:{node[1]}: {exc}")
                continue
            finally:
                client.close()
            if owner:
                return owner
        raise self._map.not_found(errors)


class AsyncSlotOwner:
    """``SlotOwner`` for asyncio."""

    def __init__(self, nodes: Iterable[Node], key: str, kwargs: dict[str, Any]) -> None:
        self._map = _Map(nodes, key)
        self._kwargs = kwargs

    async def discover_master(self, _: str) -> Node:
        """Host and port of the node."""
        errors = []
        for host, port in self._map.to_ask():
            client: Any = redis.asyncio.Redis(host=host, port=port, **self._kwargs)
            try:
                owner = self._map.read(await client.execute_command(_SLOTS), (host, port))
            except _NODE_ERRORS as exc:
                errors.append(f"{host}:{port}: {exc}")
                continue
            finally:
                await client.aclose()
            if owner:
                return owner
        raise self._map.not_found(errors)


def _moved(exc: Exception) -> RedisConnectionError:
    return RedisConnectionError(f"the node does not have the claims any more ({exc})")


class SlotConnection(redis.sentinel.SentinelManagedConnection):
    """A connection to the node that has the slot when it connects."""

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The answer; closes the connection after an error of a node that may not have the slot."""
        try:
            return super().read_response(*args, **kwargs)
        except MovedError as exc:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise _moved(exc) from None
        except ClusterDownError:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise


class SlotSSLConnection(SlotConnection, redis.SSLConnection):
    """``SlotConnection`` with TLS."""


class AsyncSlotConnection(redis.asyncio.sentinel.SentinelManagedConnection):
    """``SlotConnection`` for asyncio."""

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The answer; closes the connection after an error of a node that may not have the slot."""
        try:
            return await super().read_response(*args, **kwargs)
        except MovedError as exc:
            await self.disconnect()
            raise _moved(exc) from None
        except ClusterDownError:
            await self.disconnect()
            raise


class AsyncSlotSSLConnection(AsyncSlotConnection, redis.asyncio.SSLConnection):
    """``AsyncSlotConnection`` with TLS."""
