"""A mend of Celery's: after a loss of RabbitMQ, one thread alone reads the new connection.

A worker that loses RabbitMQ while it runs tasks comes back with a smaller prefetch count, and makes
it larger with each task that it acknowledges. Celery asks RabbitMQ for that, and waits for the
answer, in the thread that acknowledges: with ``--pool threads`` a thread of the pool. The loop of
the worker reads the same socket. Two threads then take parts of one frame, each waits for the rest,
and the worker takes no task any more, though its connection is up.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps

RESTORE = "_restore_prefetch_count_after_connection_restart"


class RestorePrefetchInLoop(bootsteps.Step):  # type: ignore[misc]
    """Consumer bootstep: the worker's loop enlarges the prefetch count, whichever thread asks."""

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        restore = getattr(consumer, RESTORE, None)
        if restore is None:  # a consumer class of the app's own
            return

        def restore_soon(*args: Any) -> None:
            consumer.call_soon(restore, *args)

        setattr(consumer, RESTORE, restore_soon)
