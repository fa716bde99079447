"""Choose the queues that a worker consumes when it was started without ``-Q``."""

from __future__ import annotations

from typing import Any

from bridge.app_state import Installation
from bridge.registry import SYSTEM_QUEUE


def choose_queues(app: Any, bridge: Installation) -> None:
    """Choose the queues of a worker that was started without ``-Q``; else leave them as they are.

    No such worker consumes ``bridge.system``. A worker of ``celery -A bridge`` also consumes the
    queue of every activity. A worker of another app consumes the queues that Celery chose: in the
    queue of an activity there may be ordinary tasks, and the app has its own workers for them.
    """
    queues = app.amqp.queues
    # Celery keeps no public sign of -Q; None means that a worker consumes what Celery chooses.
    if getattr(queues, "_consume_from", ()) is not None:
        return
    if bridge.imports_tasks:
        names = {*queues.consume_from, *bridge.registry.queues} - {SYSTEM_QUEUE}
        queues.select(sorted(names))
    elif SYSTEM_QUEUE in queues.consume_from:
        queues.deselect(SYSTEM_QUEUE)
