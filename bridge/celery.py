"""The app of ``celery -A bridge``, with the settings that were measured to work."""

from __future__ import annotations

from typing import Any

from celery import Celery

from bridge.integration import setup
from bridge.settings import DEFAULT_BROKER_URL

# Measured, each of them: see docs/celery.md.
CELERY_DEFAULTS: dict[str, Any] = {
    "accept_content": ["json"],
    "beat_scheduler": "celery.beat:Scheduler",  # no file: the schedule is made at each start
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


def _defaults() -> dict[str, Any]:
    """The settings for the broker that is configured."""
    redis = app.conf.broker_url.startswith(("redis", "rediss", "sentinel", "valkey"))
    transport = REDIS_TRANSPORT_OPTIONS if redis else RABBITMQ_TRANSPORT_OPTIONS
    rest = {} if redis else {"broker_heartbeat": 30}
    return {**CELERY_DEFAULTS, "broker_transport_options": transport, **rest}


app = Celery("bridge")
app.add_defaults({"broker_url": DEFAULT_BROKER_URL})
app.add_defaults(_defaults)
setup(app, imports_tasks=True)
