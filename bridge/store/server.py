"""Describe the claims' Redis server: what a deployment has to get right. Blocking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import redis

from bridge.settings import Settings
from bridge.store.connection import connect
from bridge.store.redis_errors import StoreRefusal, refusal_of
from bridge.store.translation import translated

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Facts about the server; None for a fact that it does not tell, as managed servers may not.

    Attributes:
        forbidden: Commands that the store's user may not call, such as ``INFO``; facts that come
            from them are None.
        version: Version of Redis, or the one that the server is compatible with.
        policy: ``maxmemory-policy``.
        persistent: Whether an append-only file is written.
        replicas: How many replicas are connected.
        cluster: Whether the server is a node of a Redis Cluster.
        clock_s: The server's clock, Unix seconds.
    """

    forbidden: tuple[str, ...]
    version: str | None
    policy: str | None
    persistent: bool | None
    replicas: int | None
    cluster: bool | None
    clock_s: float | None


def describe_server(settings: Settings) -> ServerInfo:
    """Ask the claims' server.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    client = connect(settings)
    try:
        with translated(settings):
            forbidden: list[str] = []
            info = _allowed("INFO", client.info, forbidden) or {}
            policy = info.get("maxmemory_policy")
            if policy is None:
                config = _allowed("CONFIG", lambda: _config(client, "maxmemory-policy"), forbidden)
                policy = config or None
            now = _allowed("TIME", client.time, forbidden)
            return ServerInfo(
                forbidden=tuple(forbidden),
                version=info.get("redis_version"),
                policy=policy,
                persistent=_known(bool, info.get("aof_enabled")),
                replicas=_known(int, info.get("connected_slaves")),
                cluster=_known(bool, info.get("cluster_enabled")),
                clock_s=now and now[0] + now[1] / 1e6,
            )
    finally:
        client.close()


def _allowed(name: str, call: Callable[[], T], forbidden: list[str]) -> T | None:
    """The answer of a command; None when the user may not call it, which is noted."""
    try:
        return call()
    except redis.exceptions.ResponseError as exc:
        if refusal_of(exc) is not StoreRefusal.FORBIDDEN:
            raise
        forbidden.append(name)
        return None


def _known(kind: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else kind(value)


def _config(client: redis.Redis, name: str) -> str | None:
    try:
        found = client.config_get(name)
    except redis.exceptions.NoPermissionError:
        raise
    except redis.exceptions.ResponseError:  # managed servers hide the command
        return None
    return str(found[name]) if name in found else None
