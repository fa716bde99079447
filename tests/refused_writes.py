"""Ways in which a real Valkey refuses writes for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import redis

from tests.waiting import wait_until


@contextmanager
def demoted(admin: redis.Redis) -> Iterator[None]:
    """A replica of a primary that is gone: UNBLOCKED for who waits, then READONLY."""
    admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        admin.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def without_replicas(admin: redis.Redis) -> Iterator[None]:
    """NOREPLICAS."""
    admin.config_set("min-replicas-to-write", 1)
    try:
        yield
    finally:
        admin.config_set("min-replicas-to-write", 0)


@contextmanager
def without_snapshots(admin: redis.Redis) -> Iterator[None]:
    """MISCONF, also as the answer to PING: the last snapshot could not be written."""
    blocked = Path(admin.config_get("dir")["dir"]) / admin.config_get("dbfilename")["dbfilename"]
    blocked.mkdir()  # a directory where the file would be; root may write everywhere else
    admin.config_set("save", "86400 1000000")
    admin.bgsave()

    def failed() -> bool:
        return admin.info("persistence")["rdb_last_bgsave_status"] == "err"

    wait_until(failed, what="a snapshot fails")
    try:
        yield
    finally:
        blocked.rmdir()
        admin.config_set("save", "")


@contextmanager
def full(admin: redis.Redis) -> Iterator[None]:
    """OOM: what takes memory is refused, what frees it is not."""
    admin.config_set("maxmemory", 1)
    try:
        yield
    finally:
        admin.config_set("maxmemory", 0)


WAYS: Mapping[str, Callable[[redis.Redis], AbstractContextManager[None]]] = {
    "READONLY": demoted,
    "NOREPLICAS": without_replicas,
    "MISCONF": without_snapshots,
    "OOM": full,
}
