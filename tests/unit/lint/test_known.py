"""What the linter takes from the app: its activities, and the visibility timeout."""

from __future__ import annotations

import pytest
from celery import Celery

from bridge.lint.known import KnownActivity, known_of, visibility_timeout_s
from bridge.registry import Activity, Registry


def test_heartbeats_and_time_limits_are_taken_from_the_registry_and_the_app():
    app = Celery("test", set_as_current=False)
    app.conf.task_time_limit = 90

    def work(event):
        return event

    limited = app.task(work, name="limited", time_limit=30, shared=False)
    plain = app.task(work, name="plain", shared=False)
    registry = Registry(
        [Activity("a", limited, "q", 10.0), Activity("b", plain, "q", 20.0, manual=True)]
    )
    assert known_of(registry, app) == {
        "a": KnownActivity(10.0, time_limit_s=30.0),
        "b": KnownActivity(20.0, time_limit_s=90.0, manual=True),
    }


@pytest.mark.parametrize(
    ("broker", "options", "expected"),
    [
        ("redis://h", {}, 3600.0),
        ("rediss://h", {"visibility_timeout": 60}, 60.0),
        ("sqs://", {}, 1800.0),
        ("amqp://h", {"visibility_timeout": 60}, None),
    ],
)
def test_visibility_timeout_is_the_brokers_or_the_default_of_kombu(broker, options, expected):
    app = Celery("test", broker=broker, set_as_current=False)
    app.conf.broker_transport_options = options
    assert visibility_timeout_s(app) == expected
