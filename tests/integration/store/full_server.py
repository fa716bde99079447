"""A Valkey of a test module alone, that can be full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from bridge.local.valkey import LocalValkey
from bridge.settings import Settings


@pytest.fixture(scope="module")
def valkey() -> Iterator[LocalValkey]:
    """A Valkey of this module alone, because it is full at times."""
    with LocalValkey() as server:
        yield server


@pytest.fixture
def settings(valkey, request) -> Settings:
    return Settings(
        store_url=valkey.url,
        store_prefix=f"full-{abs(hash(request.node.name))}",
        lease_s=5,
        tick_s=0.1,
        heartbeat_s=1,
    )


@contextmanager
def full(settings: Settings) -> Iterator[None]:
    """Let Redis have no memory left meanwhile."""
    with redis.Redis.from_url(settings.store_url) as admin:
        admin.config_set("maxmemory", 1)
        try:
            yield
        finally:
            admin.config_set("maxmemory", 0)
