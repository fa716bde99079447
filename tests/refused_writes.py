"""The ways in which a real Valkey refuses writes; each is a context manager."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import redis

from tests.waiting import wait_until


@contextmanager
def demoted(admin: redis.Redis) -> Iterator[None]:
    """Make it a replica of a missing primary: blocked clients get UNBLOCKED, writes READONLY."""
    admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        admin.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def without_replicas(admin: redis.Redis) -> Iterator[None]:
    """Require a replica that it does not have: writes get NOREPLICAS."""
    admin.config_set("min-replicas-to-write", 1)
    try:
        yield
    finally:
        admin.config_set("min-replicas-to-write", 0)


@contextmanager
def without_snapshots(admin: redis.Redis) -> Iterator[None]:
    """Let a snapshot fail: writes, and PING too, get MISCONF."""
    blocked = Path(admin.config_get("dir")["dir"]) / admin.config_get("dbfilename")["dbfilename"]
    blocked.mkdir()  # a directory in the place of the file, because root may write any file
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
    """Set maxmemory to one byte: commands that need memory get OOM; those that free it do not."""
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
"""The error that writes get → the context manager that causes it."""
