"""Fix a fault of Celery's: after a loss of RabbitMQ, let only the loop read the new connection.

When a worker loses RabbitMQ while it runs tasks, Celery starts again with a smaller prefetch count,
and raises it with each task that it acknowledges. Celery asks RabbitMQ for that, and waits for the
answer, in the thread that acknowledges: with ``--pool threads`` a thread of the pool. The worker's
loop reads from the same socket. Then each of two threads has a part of a frame and waits for the
rest, and the worker takes no task any more, although it is connected.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps

RESTORE = "_restore_prefetch_count_after_connection_restart"


class RestorePrefetchInLoop(bootsteps.Step):  # type: ignore[misc]
    """Consumer bootstep: the worker's loop raises the prefetch count, whichever thread asks.

    Optional part "prefetch mend" (``bridge.versions``).
    """

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        restore = getattr(consumer, RESTORE, None)
        if restore is None:  # a consumer class of the app's own
            return

        def restore_soon(*args: Any) -> None:
            consumer.call_soon(restore, *args)

        setattr(consumer, RESTORE, restore_soon)
