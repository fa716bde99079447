"""A Valkey of a module's own, for what counts commands or empties databases."""

from __future__ import annotations

import pytest
import redis

from bridge.local.valkey import LocalValkey


@pytest.fixture(scope="module")
def server():
    with LocalValkey() as valkey:
        yield valkey


@pytest.fixture
def admin(server):
    """A client of it, which is empty."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        client.flushall()
        yield client
