"""What the linter takes from the app: its activities, and the broker's visibility timeout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from celery import Celery

from bridge.addresses.broker import scheme_of
from bridge.registry import Registry

# Brokers that deliver a message again when it is not acknowledged in time, with kombu's defaults.
_VISIBILITY_S = {
    "redis": 3600.0,
    "rediss": 3600.0,
    "valkey": 3600.0,
    "sentinel": 3600.0,
    "sqs": 1800.0,
}


@dataclass(frozen=True, slots=True)
class KnownActivity:
    """What the linter knows of an activity for which the app has a task.

    Attributes:
        heartbeat_s: Interval between heartbeats.
        time_limit_s: Hard time limit of the task; None without one.
        manual: Whether heartbeats are sent only while the job calls
            ``bridge.current().heartbeat()``.
    """

    heartbeat_s: float
    time_limit_s: float | None = None
    manual: bool = False


def known_of(registry: Registry, app: Celery) -> dict[str, KnownActivity]:
    """The activities of an app, by name or ARN as registered."""
    known = {}
    for name, activity in registry.items():
        limit: Any = activity.task.time_limit or app.conf.task_time_limit
        known[name] = KnownActivity(
            heartbeat_s=activity.heartbeat_s,
            time_limit_s=float(limit) if limit else None,
            manual=activity.manual,
        )
    return known


def visibility_timeout_s(app: Celery) -> float | None:
    """After how long the broker delivers a message again; None for a broker that does not."""
    scheme = scheme_of(app.conf.broker_read_url)
    options: dict[str, Any] = app.conf.broker_transport_options or {}
    if scheme not in _VISIBILITY_S:
        return None
    return float(options.get("visibility_timeout") or _VISIBILITY_S[scheme])
