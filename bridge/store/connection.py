"""How the store reaches Redis: connections, time-outs and errors.

Every script may be sent twice (a connection can break after Redis ran it), so every script is
written to be harmless when repeated.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import redis
import redis.asyncio
import redis.sentinel
from redis.backoff import FullJitterBackoff

from bridge.addresses.redis_options import text_of
from bridge.addresses.store_url import Address, Kind, parse
from bridge.errors import SchemaMismatch, SettingsError, StoreUnavailable
from bridge.settings import Settings
from bridge.store.cluster import (
    AsyncSlotConnection,
    AsyncSlotOwner,
    AsyncSlotSSLConnection,
    SlotConnection,
    SlotOwner,
    SlotSSLConnection,
)
from bridge.store.primary import (
    AsyncPrimaryConnection,
    AsyncPrimarySSLConnection,
    PrimaryConnection,
    PrimarySSLConnection,
)
from bridge.store.redis_errors import WHAT_FOLLOWS, StoreRefusal, other_schema, refusal_of
from bridge.store.sentinel import AsyncSentinels, Sentinels
from bridge.support.masking import mask_url, scrub

SCHEMA = 2
"""Which layout of keys the scripts read and write; to be raised with each change that processes of
the version before would misread. ``_prelude.lua`` says what never changes."""

SOCKET_TIMEOUT_S = 5.0
NODE_TIMEOUT_S = 1.0
"""Of an answer to where the claims are, by a sentinel or a node; the next one is asked then."""
MAX_CONNECTIONS = 32
TRIES = 3
_BACKOFF = FullJitterBackoff(cap=1.0, base=0.05)

_OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "health_check_interval": 15,
    # redis-py 5 repeats no command without it; later ones do.
    "retry_on_error": [redis.exceptions.ConnectionError, redis.exceptions.TimeoutError],
    "socket_connect_timeout": SOCKET_TIMEOUT_S,
    "socket_keepalive": True,
    "socket_timeout": SOCKET_TIMEOUT_S,
}


def connect(
    settings: Settings, *, timeout_s: float | None = None, tries: int = TRIES
) -> redis.Redis:
    """A blocking client of the claim store; it connects at its first call.

    Args:
        timeout_s: For connecting, and again for each answer, whatever the URL says. A call that
            takes longer is not tried again: its caller does it.
        tries: How often a call is tried again.

    Raises:
        SettingsError: The installed redis-py does not know an option of the URL.
    """
    address = parse(settings.store_url)
    tries = min(tries, _tries(address))
    kwargs = _arguments(address, retry=redis.retry.Retry(_BACKOFF, tries))
    if timeout_s is not None:
        kwargs |= {
            "retry": redis.retry.Retry(_BACKOFF, tries, supported_errors=(redis.ConnectionError,)),
            "retry_on_error": [
                redis.ConnectionError
            ],  # redis-py adds these to those of the line above
            "socket_connect_timeout": timeout_s,
            "socket_timeout": timeout_s,
        }
    with _known_to_redis_py():
        pool = _pool(address, settings.root_key, kwargs)
        pool.connection_class(**pool.connection_kwargs)
    return redis.Redis.from_pool(pool)


def _pool(address: Address, key: str, kwargs: dict[str, Any]) -> redis.ConnectionPool:
    if address.kind is Kind.SOCKET:
        return redis.ConnectionPool(
            connection_class=redis.UnixDomainSocketConnection, path=address.path, **kwargs
        )
    if address.kind is Kind.SENTINEL:
        sentinels = Sentinels(
            address.nodes,
            address.min_other_sentinels,
            _to_sentinels(address) | {"retry": redis.retry.Retry(_BACKOFF, 0)},
        )
        return redis.sentinel.SentinelConnectionPool(  # type: ignore[no-untyped-call]
            address.master_name, sentinels, ssl=address.tls, **kwargs
        )
    if address.kind is Kind.CLUSTER:
        return redis.sentinel.SentinelConnectionPool(  # type: ignore[no-untyped-call]
            "",
            SlotOwner(address.nodes, key, _to_nodes(address, kwargs)),
            connection_class=SlotSSLConnection if address.tls else SlotConnection,
            **kwargs,
        )
    ((host, port),) = address.nodes
    return redis.ConnectionPool(
        connection_class=PrimarySSLConnection if address.tls else PrimaryConnection,
        host=host,
        port=port,
        **kwargs,
    )


def connect_async(settings: Settings) -> redis.asyncio.Redis:
    """An asyncio client of the claim store; a caller waits while all connections are in use.

    Raises:
        SettingsError: The installed redis-py does not know an option of the URL.
    """
    address = parse(settings.store_url)
    kwargs = _arguments(address, retry=redis.asyncio.retry.Retry(_BACKOFF, _tries(address)))
    with _known_to_redis_py():
        pool = _pool_async(address, settings.root_key, kwargs)
        pool.connection_class(**pool.connection_kwargs)
    return redis.asyncio.Redis.from_pool(pool)


def _pool_async(address: Address, key: str, kwargs: dict[str, Any]) -> redis.asyncio.ConnectionPool:
    # Neither of these two waits for a free connection; few are used, one batch after the other.
    if address.kind is Kind.SENTINEL:
        sentinels = AsyncSentinels(
            address.nodes,
            address.min_other_sentinels,
            _to_sentinels(address) | {"retry": redis.asyncio.retry.Retry(_BACKOFF, 0)},
        )
        return redis.asyncio.SentinelConnectionPool(  # type: ignore[no-untyped-call]
            address.master_name, sentinels, ssl=address.tls, **kwargs
        )
    if address.kind is Kind.CLUSTER:
        return redis.asyncio.SentinelConnectionPool(  # type: ignore[no-untyped-call]
            "",
            AsyncSlotOwner(address.nodes, key, _to_nodes(address, kwargs)),
            connection_class=AsyncSlotSSLConnection if address.tls else AsyncSlotConnection,
            **kwargs,
        )
    kwargs = {"max_connections": MAX_CONNECTIONS, "timeout": None, **kwargs}
    if address.kind is Kind.SOCKET:
        return redis.asyncio.BlockingConnectionPool(
            connection_class=redis.asyncio.UnixDomainSocketConnection, path=address.path, **kwargs
        )
    ((host, port),) = address.nodes
    return redis.asyncio.BlockingConnectionPool(
        connection_class=AsyncPrimarySSLConnection if address.tls else AsyncPrimaryConnection,
        host=host,
        port=port,
        **kwargs,
    )


def _tries(address: Address) -> int:
    """How often a call, and each connection for it, is tried again.

    Where a connection asks several servers first, every try may take seconds; who called tries
    again soon.
    """
    return 1 if address.kind in (Kind.SENTINEL, Kind.CLUSTER) else TRIES


def _arguments(address: Address, **more: Any) -> dict[str, Any]:
    """redis-py's arguments of every connection to the store."""
    kwargs = {**_OPTIONS, **more, "db": address.db, **_known_to_all(address.options)}
    if address.kind is Kind.SOCKET:
        kwargs.pop("socket_keepalive")
    if address.username:
        kwargs["username"] = address.username
    if address.password:
        kwargs["password"] = address.password
    if "credential_provider" in kwargs:
        kwargs["credential_provider"] = _credentials(kwargs["credential_provider"])
    return kwargs


def _to_sentinels(address: Address) -> dict[str, Any]:
    """redis-py's arguments of every connection to a sentinel."""
    kwargs = {
        "socket_connect_timeout": NODE_TIMEOUT_S,
        "socket_timeout": NODE_TIMEOUT_S,
        **_known_to_all(address.sentinel_options),
    }
    if any(name.startswith("ssl_") for name in kwargs):
        kwargs.setdefault("ssl", True)
    return kwargs


def _to_nodes(address: Address, kwargs: dict[str, Any]) -> dict[str, Any]:
    """redis-py's arguments of a connection that asks a node where the claims are."""
    asks = {name: value for name, value in kwargs.items() if name not in ("db", "retry")}
    asks["retry"] = type(kwargs["retry"])(_BACKOFF, 0)
    short = {"socket_connect_timeout": NODE_TIMEOUT_S, "socket_timeout": NODE_TIMEOUT_S}
    return {**asks, **short, "ssl": address.tls}


def _known_to_all(options: Mapping[str, Any]) -> dict[str, Any]:
    """Of redis-py 5, asyncio, ``ssl_cert_reqs`` takes a word only."""
    return {
        name: text_of(value) if name == "ssl_cert_reqs" else value
        for name, value in options.items()
    }


def _credentials(name: str) -> redis.CredentialProvider:
    """What the class makes: kombu means the same by this option of a URL."""
    try:
        provider = pkgutil.resolve_name(name)()
    except Exception as exc:
        raise SettingsError(
            f"credential_provider={name} of the claim store cannot be made: {exc!r}"
        ) from exc
    if not isinstance(provider, redis.CredentialProvider):
        raise SettingsError(
            f"credential_provider={name} of the claim store is no redis.CredentialProvider"
        )
    return provider


@contextmanager
def _known_to_redis_py() -> Iterator[None]:
    """Older versions know fewer options, and say so at the first connection only."""
    try:
        yield
    except TypeError as exc:
        raise SettingsError(
            f"redis-py {version('redis')} does not know an option of the claim store's URL "
            f"({exc}). Upgrade it, or leave the option out."
        ) from None


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Turn redis-py's errors of an absent or refusing server into ``StoreUnavailable``.

    And the error of a script that finds another schema into ``SchemaMismatch``.
    """
    try:
        yield
    except Exception as exc:
        if found := other_schema(exc):
            raise mismatch(settings, found) from None
        refusal = refusal_of(exc)
        if refusal is None:
            raise  # a script of ours is wrong
        said = scrub(str(exc), parse(settings.store_url).secrets)
        if refusal is StoreRefusal.FORBIDDEN and "access a key" in said:  # Redis does not say which
            said = f"{said.rstrip('.')}; the bridge's keys are ~{settings.root_key}*"
        raise StoreUnavailable(
            f"the claim store {mask_url(settings.store_url)} {refusal.value} "
            f"({type(exc).__name__}: {said.rstrip('.')}): {WHAT_FOLLOWS[refusal]}"
        ) from exc


def mismatch(settings: Settings, found: str) -> SchemaMismatch:
    """The error of a store with another schema than ``SCHEMA``."""
    return SchemaMismatch(
        f"the claim store {mask_url(settings.store_url)} (BRIDGE_STORE_PREFIX="
        f"{settings.store_prefix}) has schema {found}, and this version of the bridge needs schema "
        f"{SCHEMA}: it would misread the claims. Drain the store with the version that wrote it: "
        "stop its pollers, wait until its `status` shows nothing in flight, stop its workers; then "
        "start this version. Or set another BRIDGE_STORE_PREFIX."
    )


def ms(seconds: float) -> int:
    """Seconds as whole milliseconds, the unit of the scripts."""
    return round(seconds * 1000)
