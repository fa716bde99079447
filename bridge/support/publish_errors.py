"""Tell what a failed publish means: it can never succeed, or the broker is away, or try again.

kombu's transports raise the errors of their clients: those of amqp and redis as OperationalError,
others, such as botocore's ClientError of SQS, as they are. An error that is not known to be final
is treated as temporary.
"""

from __future__ import annotations

import re
from typing import Any

from celery import Celery, Task
from celery.exceptions import QueueNotFound
from kombu.exceptions import (
    KombuError,
    OperationalError,
    SerializationError,
    SerializerNotInstalled,
)
from kombu.serialization import dumps

_FINAL = (SerializationError, SerializerNotInstalled, QueueNotFound)
# Routing and encoding raise these, and so do clients whose connection breaks at a bad moment.
_PERHAPS_FINAL = (TypeError, ValueError, LookupError, RecursionError)
# SQS (1 MiB), and RabbitMQ (max_message_size).
_TOO_LONG = re.compile(r"[Mm]essage must be shorter than|message size \d+ is larger than")
_TOO_LONG_CODES = ("BatchRequestTooLong", "InvalidMessageContents", "MessageTooLong")


def is_final(exc: Exception, task: Task, argument: Any) -> bool:
    """Whether this job can never be published: not encoded, not routed, or too long."""
    if isinstance(exc, _FINAL) or _is_too_long(exc):
        return True
    return isinstance(exc, _PERHAPS_FINAL) and _fails_without_a_broker(task, argument)


def is_outage(exc: Exception, app: Celery) -> bool:
    """Whether the connection to the broker failed, so that every other publish would fail too.

    If the broker answers and refuses one message or one queue, that is no outage.
    """
    reason = exc.__cause__ if isinstance(exc, KombuError) and exc.__cause__ else exc
    if isinstance(reason, OperationalError | OSError):
        return True
    # This opens no connection: the object only says which errors its transport raises.
    with app.connection_for_write() as connection:
        return isinstance(reason, connection.connection_errors)


def _is_too_long(exc: Exception) -> bool:
    for each in (exc, exc.__cause__):
        response = getattr(each, "response", None)  # botocore's ClientError
        error = response.get("Error", {}) if isinstance(response, dict) else {}
        if str(error.get("Code", "")).endswith(_TOO_LONG_CODES) or _TOO_LONG.search(str(each)):
            return True
    return False


def _fails_without_a_broker(task: Task, argument: Any) -> bool:
    app, args = task.app, (argument,)
    try:
        if task.typing and hasattr(task, "__header__"):  # a task that is a class has none
            task.__header__(*args)
        options = {"queue": task.queue} if getattr(task, "queue", None) else {}
        app.amqp.router.route(options, task.name, args, {}, task_type=task)
        dumps((args, {}, {}), serializer=task.serializer or app.conf.task_serializer)
    except (*_FINAL, *_PERHAPS_FINAL):
        return True
    except Exception:  # noqa: BLE001 (such as a router's database that is away)
        return False
    return False
