"""Celery's settings as measured to work, each of them: see docs/celery.md. No app here."""

from __future__ import annotations

from typing import Any

from bridge.addresses.broker import scheme_of

DEFAULTS: dict[str, Any] = {
    "accept_content": ["json"],
    # Not only the ticks: `celery -A bridge beat` is the beat of this app's own periodic tasks too.
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
    # A worker that is killed in the middle of a sweep leaves its lock behind: kombu's own 300 s
    # would keep all others from sweeping. Two sweeps at once give each message back once.
    "unacked_mutex_expire": 10,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "visibility_timeout": 86_400,
}
RABBITMQ_TRANSPORT_OPTIONS: dict[str, Any] = {
    "confirm_publish": True,
    # A producer gives a half-open connection up; consumers wait in their own way.
    "read_timeout": 5,
    "write_timeout": 5,
}


SQS_DEFAULTS: dict[str, Any] = {
    "broker_transport_options": {
        "polling_interval": 0.1,
        "visibility_timeout": 21_600,
        "wait_time_seconds": 10,
    },
    # Celery's SQS transport has no fanout, which both need.
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
}


def defaults_for(broker: object) -> dict[str, Any]:
    """The settings for what Celery takes as a broker: a URL, or several.

    A broker of another kind gets none for its transport: what one of them knows, another refuses.
    """
    match scheme_of(broker).lower():
        case "redis" | "rediss" | "sentinel":
            return {**DEFAULTS, "broker_transport_options": REDIS_TRANSPORT_OPTIONS}
        case "amqp" | "amqps" | "pyamqp" | "librabbitmq":
            return {
                **DEFAULTS,
                "broker_transport_options": RABBITMQ_TRANSPORT_OPTIONS,
                "broker_heartbeat": 30,
                # Else a worker with --pool threads may hang when RabbitMQ is back: see
                # bridge.worker.prefetch.
                "worker_enable_prefetch_count_reduction": False,
            }
        case "sqs":
            return {**DEFAULTS, **SQS_DEFAULTS}
        case _:
            return DEFAULTS
