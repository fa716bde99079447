"""The fixes of kombu's Redis channel; the loss of the broker is in tests/faults."""

from __future__ import annotations

import pytest
from celery import Celery
from kombu import Connection
from kombu.transport import redis

from bridge.worker.redis_transport import kombu_fixes


@pytest.fixture
def channel(valkey):
    kombu_fixes.fix_channels()
    with Connection(valkey.url) as connection:
        yield connection.channel()


def test_a_channel_has_one_client_for_its_pool(channel):
    with channel.conn_or_acquire() as one, channel.conn_or_acquire() as two:
        assert one is two
        assert one.ping()


def test_a_new_pool_gets_a_new_client(channel):
    with channel.conn_or_acquire() as before:
        before.ping()
    channel._disconnect_pools()
    with channel.conn_or_acquire() as after:
        assert after is not before
        assert after.connection_pool is channel.pool
        assert after.ping()


def test_clients_that_keep_a_connection_are_not_shared(channel):
    assert channel.client is not channel.subclient


def test_messages_come_and_are_acknowledged(valkey):
    """Publish, receive and acknowledge through the shared client."""
    kombu_fixes.fix_channels()
    app = Celery("mended", broker=valkey.url, set_as_current=False)
    with app, app.connection() as connection:
        queue = connection.SimpleQueue("mended")
        for number in range(20):
            queue.put({"n": number})
        got = []
        for _ in range(20):
            message = queue.get(timeout=5)
            got.append(message.payload["n"])
            message.ack()
        assert got == list(range(20))
        with queue.channel.conn_or_acquire() as client:
            assert client.hlen("unacked") == 0
        queue.close()


def test_only_the_channels_of_the_transports_are_changed(channel):
    """An app's own subclass of kombu's channel is as its author wrote it."""
    for transport in (redis.Transport, redis.SentinelTransport):
        assert issubclass(transport.Channel, tuple(kombu_fixes.FIXES.values()))
    assert isinstance(channel, redis.Channel)
    for owner in (redis.Channel, redis.SentinelChannel):
        replaced = [name for name, value in vars(owner).items() if is_of_bridge(value)]
        assert replaced == []


def test_fixes_are_added_once():
    kombu_fixes.fix_channels()
    before = redis.Transport.Channel, redis.SentinelTransport.Channel
    kombu_fixes.fix_channels()
    assert (redis.Transport.Channel, redis.SentinelTransport.Channel) == before


def is_of_bridge(value: object) -> bool:
    return str(getattr(value, "__module__", "")).startswith("bridge")
