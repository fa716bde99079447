"""Reach the node of a Redis Cluster that has the claims.

All our keys have one hash tag, hence one slot, hence one node at a time. So a cluster is to us what
Sentinel is: a primary that may change. redis-py's pool for Sentinel asks at each new connection
where the primary is; here the cluster's nodes are asked. A node that has the slot no more says so
(MOVED): its connection is closed, and the call is repeated on a new one.

While a slot moves key by key, its node redirects single calls (ASK). redis-py's client of clusters
follows that, and would run a script where only some of its keys are: here it is an outage, until
the whole slot has moved. See also ``scripts.keys_of``.
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
_NEVER_MIND = (RedisError, OSError)
"""What asking a node may raise: another one is asked then."""


class _Map:
    """What is known of the cluster: its nodes, and which of them has the key's slot."""

    def __init__(self, nodes: Iterable[Node], key: str) -> None:
        self._named = list(nodes)
        self._found: list[Node] = []
        self._slot = key_slot(key.encode())

    def to_ask(self) -> list[Node]:
        """Nodes in a random order, for one may be cut off from the others; then those named."""
        found = random.sample(self._found, len(self._found))
        return [*found, *(node for node in self._named if node not in found)]

    def read(self, answer: Any, asked: Node) -> Node | None:
        """The owner of the slot by what a node says of all slots; None where it has none."""
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
    """Stands where redis-py's pool expects sentinels: finds the node that has a key's slot.

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
            except _NEVER_MIND as exc:
                errors.append(f"{node[0]}:{node[1]}: {exc}")
                continue
            finally:
                client.close()
            if owner:
                return owner
        raise self._map.not_found(errors)


class AsyncSlotOwner:
    """The same, asyncio."""

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
            except _NEVER_MIND as exc:
                errors.append(f"{host}:{port}: {exc}")
                continue
            finally:
                await client.aclose()
            if owner:
                return owner
        raise self._map.not_found(errors)


def _moved(exc: Exception) -> RedisConnectionError:
    return RedisConnectionError(f"the node has the claims no more ({exc})")


class SlotConnection(redis.sentinel.SentinelManagedConnection):
    """A connection to the node that has the slot when it connects."""

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The answer; an error that ends the connection where another node may have the slot."""
        try:
            return super().read_response(*args, **kwargs)
        except MovedError as exc:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise _moved(exc) from None
        except ClusterDownError:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise


class SlotSSLConnection(SlotConnection, redis.SSLConnection):
    """The same with TLS."""


class AsyncSlotConnection(redis.asyncio.sentinel.SentinelManagedConnection):
    """The same, asyncio."""

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The answer; an error that ends the connection where another node may have the slot."""
        try:
            return await super().read_response(*args, **kwargs)
        except MovedError as exc:
            await self.disconnect()
            raise _moved(exc) from None
        except ClusterDownError:
            await self.disconnect()
            raise


class AsyncSlotSSLConnection(AsyncSlotConnection, redis.asyncio.SSLConnection):
    """The same with TLS."""
