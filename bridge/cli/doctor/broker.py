"""Checks of the broker: whether it answers, and whether its options suit the tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kombu.exceptions import OperationalError

from bridge.addresses.broker import passwords_of, scheme_of
from bridge.app_state import Installation
from bridge.cli.doctor.result import CheckResult, failure, ok, warning
from bridge.registry import SYSTEM_QUEUE, undeclared
from bridge.support.masking import mask_urls, scrub

TIMEOUT_S = 5.0
DEFAULT_VISIBILITY_S = 3600.0
REDELIVERING = ("redis", "rediss", "sentinel", "sqs")
"""Transports that deliver a message again after the visibility timeout, though its job runs."""


def check_broker(bridge: Installation) -> Iterator[CheckResult]:
    """Connect to the broker, and check its options."""
    app = bridge.app
    url = mask_urls(app.conf.broker_write_url)
    try:
        with app.connection_for_write(connect_timeout=TIMEOUT_S) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.2, timeout=TIMEOUT_S)
            transport = connection.transport.driver_type
    except (OperationalError, OSError) as exc:
        message = scrub(str(exc), passwords_of(app.conf.broker_write_url))
        yield failure("broker", f"{url}: {message}", "start the broker, or set CELERY_BROKER_URL")
        return
    except (ImportError, KeyError, TypeError, ValueError) as exc:
        # The error's own text is left out: it may quote a part of the password.
        yield failure(
            "broker",
            f"{url}: Celery cannot read it ({type(exc).__name__})",
            "mend the URL, broker_transport_options or broker_use_ssl",
        )
        return
    yield ok("broker", url)
    if not app.conf.task_create_missing_queues and SYSTEM_QUEUE not in app.amqp.queues:
        yield failure(
            f"queue {SYSTEM_QUEUE}",
            undeclared(SYSTEM_QUEUE),
            "add the queue; without it no beat process can start",
        )
    yield from _check_options(transport, app.conf.broker_transport_options)


def _check_options(transport: str, options: dict[str, Any]) -> Iterator[CheckResult]:
    if transport == "redis" and not options.get("socket_timeout"):
        yield warning(
            "broker's socket_timeout",
            "unset: a half-open connection hangs a worker for minutes",
            'broker_transport_options = {"socket_timeout": 5, …}, see docs/celery.md',
        )
    if transport == "amqp" and not options.get("confirm_publish"):
        yield warning(
            "broker's confirm_publish",
            "off: a job may be lost on its way to RabbitMQ",
            'broker_transport_options = {"confirm_publish": True}',
        )


def check_visibility_timeout(bridge: Installation) -> Iterator[CheckResult]:
    """Whether every task's time limit is below the broker's visibility timeout, if it has one."""
    conf = bridge.app.conf
    if scheme_of(conf.broker_read_url) not in REDELIVERING:
        return
    options: dict[str, Any] = conf.broker_transport_options
    visible_s = float(options.get("visibility_timeout", DEFAULT_VISIBILITY_S))
    limits = {
        name: float(activity.task.time_limit or conf.task_time_limit or 0)
        for name, activity in bridge.registry.items()
    }
    longer = {name: limit_s for name, limit_s in limits.items() if limit_s > visible_s}
    check = "visibility timeout"
    if longer:
        tasks = ", ".join(f"{name} ({limit_s:.0f} s)" for name, limit_s in longer.items())
        yield warning(
            check,
            f"{visible_s:.0f} s, below the time limit of {tasks}",
            "raise visibility_timeout in broker_transport_options: such jobs are delivered again",
        )
    else:
        yield ok(check, f"{visible_s:.0f} s")
