"""Celery settings of ``celery -A bridge`` for each kind of broker; docs/celery.md says why each."""

from __future__ import annotations

from typing import Any

from bridge.addresses.broker import scheme_of

DEFAULTS: dict[str, Any] = {
    "accept_content": ["json"],
    # `celery -A bridge beat` publishes this app's own periodic tasks beside the ticks.
    "beat_scheduler": "bridge.processes.tick_scheduler:TicksBesideSchedule",
    "broker_connection_max_retries": None,
    "broker_connection_retry_on_startup": True,
    "task_ignore_result": True,
    "worker_prefetch_multiplier": 1,
    "worker_send_task_events": True,
}
REDIS_TRANSPORT_OPTIONS: dict[str, Any] = {
    "health_check_interval": 5,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "socket_timeout": 5,
    # While a worker gives messages of dead workers back, it holds a lock in Redis, which stays
    # behind if the worker is killed. With kombu's default of 300 s no other worker would give
    # messages back for so long. Two workers that do it at once give each message back once.
    "unacked_mutex_expire": 10,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "visibility_timeout": 86_400,
}
RABBITMQ_TRANSPORT_OPTIONS: dict[str, Any] = {
    "confirm_publish": True,
    # With these a producer notices a half-open connection. Consumers do not use them.
    "read_timeout": 5,
    "write_timeout": 5,
}


SQS_DEFAULTS: dict[str, Any] = {
    "broker_transport_options": {
        "polling_interval": 0.1,
        "visibility_timeout": 21_600,
        "wait_time_seconds": 10,
    },
    # Both need fanout, which Celery's SQS transport does not have.
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
}


def defaults_for(broker: object) -> dict[str, Any]:
    """The settings for a broker.

    A broker of another kind gets no options for its transport, which may refuse unknown ones.

    Args:
        broker: What Celery takes as a broker: a URL, or several.
    """
    match scheme_of(broker).lower():
        case "redis" | "rediss" | "sentinel":
            return {**DEFAULTS, "broker_transport_options": REDIS_TRANSPORT_OPTIONS}
        case "amqp" | "amqps" | "pyamqp" | "librabbitmq":
            return {
                **DEFAULTS,
                "broker_transport_options": RABBITMQ_TRANSPORT_OPTIONS,
                "broker_heartbeat": 30,
                # With the reduction a worker with --pool threads may hang after a restart of
                # RabbitMQ: see bridge.worker.prefetch.
                "worker_enable_prefetch_count_reduction": False,
            }
        case "sqs":
            return {**DEFAULTS, **SQS_DEFAULTS}
        case _:
            return DEFAULTS
