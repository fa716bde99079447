"""The Redis behind the claims, as a server: what a deployment has to get right. Blocking."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from bridge.settings import Settings
from bridge.store.connection import connect, translated


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What Redis says of itself; None where it does not tell, as managed ones may not.

    Attributes:
        version: Of Redis, or of what it is compatible with.
        policy: ``maxmemory-policy``.
        persistent: Whether an append-only file is written.
        replicas: Connected replicas.
        cluster: Whether it is a node of a Redis Cluster.
        clock_s: Its clock, Unix seconds.
    """

    version: str
    policy: str | None
    persistent: bool | None
    replicas: int
    cluster: bool
    clock_s: float


def describe_server(settings: Settings) -> ServerInfo:
    """Ask the server of the claims.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    client = connect(settings)
    try:
        with translated(settings):
            info = client.info()
            seconds, microseconds = client.time()
            return ServerInfo(
                version=str(info.get("redis_version", "")),
                policy=info.get("maxmemory_policy") or _config(client, "maxmemory-policy"),
                persistent=None if "aof_enabled" not in info else bool(info["aof_enabled"]),
                replicas=int(info.get("connected_slaves", 0)),
                cluster=bool(info.get("cluster_enabled", 0)),
                clock_s=seconds + microseconds / 1e6,
            )
    finally:
        client.close()


def _config(client: redis.Redis, name: str) -> str | None:
    try:
        found = client.config_get(name)
    except redis.exceptions.ResponseError:  # managed servers hide the command
        return None
    return str(found[name]) if name in found else None
