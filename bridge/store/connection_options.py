"""redis-py's arguments for connections to the store, to sentinels, and to nodes of a cluster."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any

import redis

from bridge.addresses.redis_options import text_of
from bridge.addresses.store_url import Address, Kind
from bridge.errors import SettingsError

SOCKET_TIMEOUT_S = 5.0
NODE_TIMEOUT_S = 1.0
"""How long a sentinel or a node may take to say where the claims are, before the next is asked."""

_OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "health_check_interval": 15,
    # redis-py 5 repeats no command without it; later versions do.
    "retry_on_error": [redis.exceptions.ConnectionError, redis.exceptions.TimeoutError],
    "socket_connect_timeout": SOCKET_TIMEOUT_S,
    "socket_keepalive": True,
    "socket_timeout": SOCKET_TIMEOUT_S,
}
_NODE_TIMEOUTS = {"socket_connect_timeout": NODE_TIMEOUT_S, "socket_timeout": NODE_TIMEOUT_S}


def to_store(address: Address) -> dict[str, Any]:
    """The arguments of every connection to the store, without ``retry``."""
    kwargs = {**_OPTIONS, "db": address.db, **_known_to_all(address.options)}
    if address.kind is Kind.SOCKET:
        kwargs.pop("socket_keepalive")
    if address.username:
        kwargs["username"] = address.username
    if address.password:
        kwargs["password"] = address.password
    if "credential_provider" in kwargs:
        kwargs["credential_provider"] = _credentials(kwargs["credential_provider"])
    return kwargs


def to_sentinels(address: Address) -> dict[str, Any]:
    """The arguments of every connection to a sentinel, without ``retry``."""
    kwargs = {**_NODE_TIMEOUTS, **_known_to_all(address.sentinel_options)}
    if any(name.startswith("ssl_") for name in kwargs):
        kwargs.setdefault("ssl", True)
    return kwargs


def to_nodes(address: Address, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a connection that asks a node where the claims are, without ``retry``.

    Args:
        kwargs: Those of a connection to the store.
    """
    shared = {name: value for name, value in kwargs.items() if name not in ("db", "retry")}
    return {**shared, **_NODE_TIMEOUTS, "ssl": address.tls}


def _known_to_all(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as every version takes them: redis-py 5 needs a word as ``ssl_cert_reqs``."""
    return {
        name: text_of(value) if name == "ssl_cert_reqs" else value
        for name, value in options.items()
    }


def _credentials(name: str) -> redis.CredentialProvider:
    """An object of the class with this dotted name, as kombu makes it for the same option."""
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
