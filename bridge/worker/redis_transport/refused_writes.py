"""Treat a Redis broker that refuses writes for now as one that is away.

A demoted primary, too few replicas, a failed snapshot or a full memory makes Redis refuse writes.
redis-py raises ``ResponseError`` for it, as for a wrong or a forbidden command, and Celery ends the
worker ("Unrecoverable error"). For a Redis that is away, Celery waits. A ``WriteRefused`` is a
connection error too, so that Celery and kombu try again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from redis import exceptions
from redis.exceptions import ResponseError

from bridge.store.redis_errors import StoreRefusal, refusal_of

logger = logging.getLogger(__name__)

PAUSE_S = 1.0
"""Before a server that has refused is asked again."""


class WriteRefused(exceptions.ConnectionError, ResponseError):
    """The broker's Redis takes no writes for now; as for one that is away, try again."""


def is_refusal(exc: BaseException) -> bool:
    """Whether this is Redis' answer that it takes no writes, or no commands, for now."""
    if not isinstance(exc, ResponseError):
        return False
    return isinstance(exc, WriteRefused) or refusal_of(exc) not in (None, StoreRefusal.FORBIDDEN)


def refusal(exc: ResponseError) -> WriteRefused:
    """The same as a connection error: raise it from ``exc``."""
    return WriteRefused(f"Redis refuses for now: {type(exc).__name__}: {exc}")


class WaitOutRefusals(bootsteps.Step):  # type: ignore[misc]
    """Consumer bootstep: a refusal that is heard anywhere in the worker's loop does not end it.

    Celery's result backend, for one, writes to Redis from the loop.
    """

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        loop = consumer.loop

        def loop_on(*args: Any, **options: Any) -> Any:
            try:
                return loop(*args, **options)
            except ResponseError as exc:
                if isinstance(exc, WriteRefused) or not is_refusal(exc):
                    raise
                raise refusal(exc) from exc

        consumer.loop = loop_on
        consumer.on_connection_error_before_connected = _then_wait(
            consumer.on_connection_error_before_connected
        )
        consumer.on_connection_error_after_connected = _then_wait(
            consumer.on_connection_error_after_connected
        )


def _then_wait(on_error: Callable[[BaseException], Any]) -> Callable[[BaseException], Any]:
    """Celery connects again at once, and this server answers at once."""

    def wait(exc: BaseException) -> Any:
        result = on_error(exc)
        if is_refusal(exc):
            time.sleep(PAUSE_S)
        return result

    return wait
