"""What the linter wants of a registry and its app."""

from __future__ import annotations

from typing import Any

from celery import Celery

from bridge.addresses.broker import scheme_of
from bridge.lint.model import Known
from bridge.registry import Registry

# Redelivers what is not acknowledged in time; Kombu's defaults.
_VISIBILITY_S = {
    "redis": 3600.0,
    "rediss": 3600.0,
    "valkey": 3600.0,
    "sentinel": 3600.0,
    "sqs": 1800.0,
}


def known_of(registry: Registry, app: Celery) -> dict[str, Known]:
    """What is known of every activity, by name as registered."""
    known = {}
    for name, activity in registry.items():
        limit: Any = activity.task.time_limit or app.conf.task_time_limit
        known[name] = Known(activity.heartbeat_s, float(limit) if limit else None, activity.manual)
    return known


def visibility_timeout_s(app: Celery) -> float | None:
    """After how long the broker delivers a message again; None for a broker that does not."""
    scheme = scheme_of(app.conf.broker_read_url)
    options: dict[str, Any] = app.conf.broker_transport_options or {}
    if scheme not in _VISIBILITY_S:
        return None
    return float(options.get("visibility_timeout") or _VISIBILITY_S[scheme])
