"""The settings of ``celery -A bridge``: those of a transport go to that transport only."""

from __future__ import annotations

import pytest

from bridge import defaults


@pytest.mark.parametrize(
    ("broker", "options"),
    [
        ("redis://localhost/0", defaults.REDIS_TRANSPORT_OPTIONS),
        ("rediss://localhost/0", defaults.REDIS_TRANSPORT_OPTIONS),
        ("sentinel://a:1;sentinel://b:1", defaults.REDIS_TRANSPORT_OPTIONS),
        ("redis+socket:///run/redis.sock", defaults.REDIS_TRANSPORT_OPTIONS),
        (["redis://a", "redis://b"], defaults.REDIS_TRANSPORT_OPTIONS),
        ("amqp://rabbit//", defaults.RABBITMQ_TRANSPORT_OPTIONS),
        ("amqps://rabbit//", defaults.RABBITMQ_TRANSPORT_OPTIONS),
        ("pyamqp://a//;pyamqp://b//", defaults.RABBITMQ_TRANSPORT_OPTIONS),
        ("librabbitmq://rabbit//", defaults.RABBITMQ_TRANSPORT_OPTIONS),
        (None, defaults.RABBITMQ_TRANSPORT_OPTIONS),
        ("sqs://", defaults.SQS_DEFAULTS["broker_transport_options"]),
        ("SQS://", defaults.SQS_DEFAULTS["broker_transport_options"]),
        ("filesystem://", None),
        ("confluentkafka://a:9092", None),
        ("gcpubsub://projects/p", None),
    ],
)
def test_a_broker_gets_the_options_of_its_kind(broker, options):
    made = defaults.defaults_for(broker)
    assert made.get("broker_transport_options") == options
    assert made["accept_content"] == ["json"]
    rabbitmq = options is defaults.RABBITMQ_TRANSPORT_OPTIONS
    assert ("broker_heartbeat" in made) == rabbitmq
    assert ("worker_enable_prefetch_count_reduction" in made) == rabbitmq


def test_on_sqs_nothing_is_asked_for_that_its_transport_lacks():
    made = defaults.defaults_for("sqs://")
    assert not made["worker_enable_remote_control"]
    assert not made["worker_send_task_events"]
