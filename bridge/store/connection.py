"""Connect to the claims' Redis: a server, a socket, sentinels or a cluster; blocking or asyncio.

A call may be sent twice, because a connection can break after Redis ran a script: every script is
harmless when repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import redis
import redis.asyncio
import redis.sentinel
from redis.backoff import FullJitterBackoff

from bridge.addresses.store_url import Address, Kind, parse
from bridge.errors import SettingsError
from bridge.settings import Settings
from bridge.store.cluster import (
    AsyncSlotConnection,
    AsyncSlotOwner,
    AsyncSlotSSLConnection,
    SlotConnection,
    SlotOwner,
    SlotSSLConnection,
)
from bridge.store.connection_options import to_nodes, to_sentinels, to_store
from bridge.store.primary import (
    AsyncPrimaryConnection,
    AsyncPrimarySSLConnection,
    PrimaryConnection,
    PrimarySSLConnection,
)
from bridge.store.sentinel import AsyncSentinels, Sentinels

MAX_CONNECTIONS = 32
TRIES = 3
_BACKOFF = FullJitterBackoff(cap=1.0, base=0.05)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Library:
    """redis-py's classes, and ours, for one way to call: blocking or asyncio.

    Attributes:
        connection: To a server by its host and port; with TLS: ``tls_connection``.
        slot_connection: To the node of a cluster that has the claims' slot.
    """

    retry: type
    pool: Callable[..., Any]
    sentinel_pool: Callable[..., Any]
    socket_connection: type
    connection: type
    tls_connection: type
    sentinels: type
    slot_owner: type
    slot_connection: type
    tls_slot_connection: type


_BLOCKING = _Library(
    retry=redis.retry.Retry,
    pool=redis.ConnectionPool,
    sentinel_pool=redis.sentinel.SentinelConnectionPool,
    socket_connection=redis.UnixDomainSocketConnection,
    connection=PrimaryConnection,
    tls_connection=PrimarySSLConnection,
    sentinels=Sentinels,
    slot_owner=SlotOwner,
    slot_connection=SlotConnection,
    tls_slot_connection=SlotSSLConnection,
)
_ASYNCIO = _Library(
    retry=redis.asyncio.retry.Retry,
    # A caller waits while all connections are in use. The pools for Sentinel and Cluster do not
    # wait; they need few connections, because batches are sent one after the other.
    pool=partial(
        redis.asyncio.BlockingConnectionPool, max_connections=MAX_CONNECTIONS, timeout=None
    ),
    sentinel_pool=redis.asyncio.SentinelConnectionPool,
    socket_connection=redis.asyncio.UnixDomainSocketConnection,
    connection=AsyncPrimaryConnection,
    tls_connection=AsyncPrimarySSLConnection,
    sentinels=AsyncSentinels,
    slot_owner=AsyncSlotOwner,
    slot_connection=AsyncSlotConnection,
    tls_slot_connection=AsyncSlotSSLConnection,
)


def connect(
    settings: Settings, *, timeout_s: float | None = None, tries: int = TRIES
) -> redis.Redis:
    """A blocking client of the claim store; it connects at its first call.

    Args:
        timeout_s: For connecting, and again for each answer, whatever the URL says. A call that
            takes longer is not repeated here; its caller repeats it.
        tries: How often a call is repeated after an error.

    Raises:
        SettingsError: The installed redis-py does not know an option of the URL.
    """
    address = parse(settings.store_url)
    tries = min(tries, _tries(address))
    kwargs = to_store(address) | {"retry": redis.retry.Retry(_BACKOFF, tries)}
    if timeout_s is not None:
        lost = (redis.ConnectionError,)
        kwargs |= {
            "retry": redis.retry.Retry(_BACKOFF, tries, supported_errors=lost),
            "retry_on_error": [*lost],  # redis-py adds these to the supported errors
            "socket_connect_timeout": timeout_s,
            "socket_timeout": timeout_s,
        }
    return redis.Redis.from_pool(_pool(_BLOCKING, address, settings.root_key, kwargs))


def connect_async(settings: Settings) -> redis.asyncio.Redis:
    """An asyncio client of the claim store; a caller waits while all connections are in use.

    Raises:
        SettingsError: The installed redis-py does not know an option of the URL.
    """
    address = parse(settings.store_url)
    retry = redis.asyncio.retry.Retry(_BACKOFF, _tries(address))
    kwargs = to_store(address) | {"retry": retry}
    return redis.asyncio.Redis.from_pool(_pool(_ASYNCIO, address, settings.root_key, kwargs))


def _pool(library: _Library, address: Address, key: str, kwargs: dict[str, Any]) -> Any:
    """A pool of connections to the server that has the claims, whose keys begin with ``key``."""
    with _options_checked():
        pool = _pool_for(library, address, key, kwargs)
        pool.connection_class(**pool.connection_kwargs)
    return pool


def _pool_for(library: _Library, address: Address, key: str, kwargs: dict[str, Any]) -> Any:
    once = library.retry(_BACKOFF, 0)
    if address.kind is Kind.SOCKET:
        return library.pool(connection_class=library.socket_connection, path=address.path, **kwargs)
    if address.kind is Kind.SENTINEL:
        sentinels = library.sentinels(
            address.nodes, address.min_other_sentinels, to_sentinels(address) | {"retry": once}
        )
        return library.sentinel_pool(address.master_name, sentinels, ssl=address.tls, **kwargs)
    if address.kind is Kind.CLUSTER:
        owner = library.slot_owner(address.nodes, key, to_nodes(address, kwargs) | {"retry": once})
        connection = library.tls_slot_connection if address.tls else library.slot_connection
        return library.sentinel_pool("", owner, connection_class=connection, **kwargs)
    ((host, port),) = address.nodes
    connection = library.tls_connection if address.tls else library.connection
    return library.pool(connection_class=connection, host=host, port=port, **kwargs)


def _tries(address: Address) -> int:
    """How often a call, and each connection for it, is repeated after an error.

    Where a new connection first asks several servers, every try may take seconds, and the caller
    soon repeats the call itself.
    """
    return 1 if address.kind in (Kind.SENTINEL, Kind.CLUSTER) else TRIES


@contextmanager
def _options_checked() -> Iterator[None]:
    """Older versions of redis-py know fewer options, and say so at the first connection only."""
    try:
        yield
    except TypeError as exc:
        raise SettingsError(
            f"redis-py {version('redis')} does not know an option of the claim store's URL "
            f"({exc}). Upgrade it, or leave the option out."
        ) from None
