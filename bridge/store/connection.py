"""How the store reaches Redis: connections, time-outs and errors.

Every script may be sent twice (a connection can break after Redis ran it), so every script is
written to be harmless when repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
from redis.backoff import ExponentialWithJitterBackoff

from bridge.errors import SchemaMismatch, StoreUnavailable
from bridge.settings import Settings, mask_url
from bridge.store.refusals import WHAT_FOLLOWS, other_schema, refusal_of

SCHEMA = 1
"""Which layout of keys the scripts read and write; to be raised with each change that processes of
the version before would misread. ``_prelude.lua`` says what never changes."""

SOCKET_TIMEOUT_S = 5.0
MAX_CONNECTIONS = 32
_TRIES = 3
_BACKOFF = ExponentialWithJitterBackoff(cap=1.0, base=0.05)

_OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "health_check_interval": 15,
    "socket_connect_timeout": SOCKET_TIMEOUT_S,
    "socket_keepalive": True,
    "socket_timeout": SOCKET_TIMEOUT_S,
}


def connect(settings: Settings) -> redis.Redis:
    """A blocking client of the claim store; it connects at its first call."""
    retry = redis.retry.Retry(_BACKOFF, _TRIES)
    return redis.Redis.from_url(settings.store_url, retry=retry, **_OPTIONS)


def connect_async(settings: Settings) -> redis.asyncio.Redis:
    """An asyncio client of the claim store; a caller waits while all connections are in use."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        settings.store_url,
        max_connections=MAX_CONNECTIONS,
        timeout=None,
        retry=redis.asyncio.retry.Retry(_BACKOFF, _TRIES),
        **_OPTIONS,
    )
    return redis.asyncio.Redis.from_pool(pool)


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
        raise StoreUnavailable(
            f"the claim store {mask_url(settings.store_url)} {refusal.value} "
            f"({type(exc).__name__}: {str(exc).rstrip('.')}): {WHAT_FOLLOWS[refusal]}"
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
