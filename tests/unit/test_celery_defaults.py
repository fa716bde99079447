"""Settings of ``celery -A bridge``: options of a transport go to that transport only."""

from __future__ import annotations

import pytest

from bridge import celery_defaults


@pytest.mark.parametrize(
    ("broker", "options"),
    [
        ("redis://localhost/0", celery_defaults.REDIS_TRANSPORT_OPTIONS),
        ("rediss://localhost/0", celery_defaults.REDIS_TRANSPORT_OPTIONS),
        ("sentinel://a:1;sentinel://b:1", celery_defaults.REDIS_TRANSPORT_OPTIONS),
        ("redis+socket:///run/redis.sock", celery_defaults.REDIS_TRANSPORT_OPTIONS),
        (["redis://a", "redis://b"], celery_defaults.REDIS_TRANSPORT_OPTIONS),
        ("amqp://rabbit//", celery_defaults.RABBITMQ_TRANSPORT_OPTIONS),
        ("amqps://rabbit//", celery_defaults.RABBITMQ_TRANSPORT_OPTIONS),
        ("pyamqp://a//;pyamqp://b//", celery_defaults.RABBITMQ_TRANSPORT_OPTIONS),
        ("librabbitmq://rabbit//", celery_defaults.RABBITMQ_TRANSPORT_OPTIONS),
        (None, celery_defaults.RABBITMQ_TRANSPORT_OPTIONS),
        ("sqs://", celery_defaults.SQS_DEFAULTS["broker_transport_options"]),
        ("SQS://", celery_defaults.SQS_DEFAULTS["broker_transport_options"]),
        ("filesystem://", None),
        ("confluentkafka://a:9092", None),
        ("gcpubsub://projects/p", None),
    ],
)
def test_a_broker_gets_the_options_of_its_kind(broker, options):
    made = celery_defaults.defaults_for(broker)
    assert made.get("broker_transport_options") == options
    assert made["accept_content"] == ["json"]
    rabbitmq = options is celery_defaults.RABBITMQ_TRANSPORT_OPTIONS
    assert ("broker_heartbeat" in made) == rabbitmq
    assert ("worker_enable_prefetch_count_reduction" in made) == rabbitmq


def test_sqs_gets_no_feature_that_its_transport_lacks():
    made = celery_defaults.defaults_for("sqs://")
    assert not made["worker_enable_remote_control"]
    assert not made["worker_send_task_events"]
