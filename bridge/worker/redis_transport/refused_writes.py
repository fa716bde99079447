"""Treat a Redis broker that refuses writes for now as one that is away.

A demoted primary, too few replicas, a failed snapshot or a full memory makes Redis refuse writes.
redis-py raises ``ResponseError`` for it, as for a wrong or a forbidden command, and Celery ends the
worker ("Unrecoverable error"). For a Redis that is away, Celery waits. A ``WriteRefused`` is a
connection error too, so that Celery and kombu try again.

Which errors are refusals is decided in ``bridge.store.redis_errors``, for the store as well.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from queue import Empty
from typing import Any

from celery import bootsteps
from kombu.transport.redis import Channel
from redis import exceptions
from redis.exceptions import ResponseError

from bridge.store.redis_errors import StoreRefusal, has_moved, refusal_of

logger = logging.getLogger(__name__)

PAUSE_S = 1.0
"""How long a server that has refused is not asked again."""
LOG_INTERVAL_S = 30.0
"""A refusal that goes on is logged once in this time."""


class WriteRefused(exceptions.ConnectionError, ResponseError):
    """The broker's Redis refuses writes for now; try again, as for one that is away."""


def is_refusal(exc: BaseException) -> bool:
    """Whether this is Redis' answer that it takes no writes, or no commands, for now."""
    if not isinstance(exc, ResponseError):
        return False
    return isinstance(exc, WriteRefused) or refusal_of(exc) not in (None, StoreRefusal.FORBIDDEN)


def write_refused(exc: ResponseError) -> WriteRefused:
    """The connection error for a refusal; raise it from ``exc``."""
    return WriteRefused(f"Redis refuses for now: {type(exc).__name__}: {exc}")


def raising_write_refused(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Make the call.

    Raises:
        WriteRefused: In place of redis-py's error, when Redis refuses for now.
    """
    try:
        return call(*args, **options)
    except ResponseError as exc:
        if isinstance(exc, WriteRefused) or not is_refusal(exc):
            raise
        raise write_refused(exc) from exc


class PausesAfterRefusal(Channel):  # type: ignore[misc]
    """A channel of kombu that keeps its connection and pauses when Redis refuses to give messages.

    On a new connection kombu would give the messages of running jobs back to the queue. The worker
    connects anew, by the broker's name, only when the server is no longer a primary.
    """

    _bridge_paused_until = 0.0
    _bridge_log_again = 0.0

    def _ask_unless_paused(self, ask: Callable[[], None]) -> None:
        """Ask Redis for messages, but not within the pause after a refusal."""
        if time.monotonic() < self._bridge_paused_until:
            return
        try:
            ask()
        except ResponseError as exc:  # the answer to redis-py's PING before a command
            self._in_poll = None
            self._pause(exc)

    def _read_or_pause(self, read: Callable[[], Any]) -> Any:
        """Read Redis' answer to what was asked.

        Raises:
            Empty: Redis has no message, or has refused.
        """
        try:
            return read()
        except ResponseError as exc:
            self._pause(exc)
            raise Empty from exc

    def _pause(self, exc: ResponseError) -> None:
        if isinstance(exc, WriteRefused) or not is_refusal(exc):
            raise exc
        if has_moved(exc):
            raise write_refused(exc) from exc
        now = time.monotonic()
        self._bridge_paused_until = now + PAUSE_S
        if now >= self._bridge_log_again:
            self._bridge_log_again = now + LOG_INTERVAL_S
            logger.warning(
                "the broker's Redis refuses for now (%s: %s); no message is taken meanwhile",
                type(exc).__name__,
                exc,
            )


class WaitOutRefusals(bootsteps.Step):  # type: ignore[misc]
    """Consumer bootstep: no refusal that reaches the worker's loop ends the worker.

    Optional part "refusal mend" (``bridge.versions``). Celery's result backend, for example, writes
    to Redis from the loop.
    """

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        loop = consumer.loop
        consumer.loop = lambda *args, **options: raising_write_refused(loop, *args, **options)
        consumer.on_connection_error_before_connected = _then_pause(
            consumer.on_connection_error_before_connected
        )
        consumer.on_connection_error_after_connected = _then_pause(
            consumer.on_connection_error_after_connected
        )


def _then_pause(on_error: Callable[[BaseException], Any]) -> Callable[[BaseException], Any]:
    """Pause after a refusal: Celery would connect again at once, and this server does answer."""

    def handle_then_pause(exc: BaseException) -> Any:
        result = on_error(exc)
        if is_refusal(exc):
            time.sleep(PAUSE_S)
        return result

    return handle_then_pause
