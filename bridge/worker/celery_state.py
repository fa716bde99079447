"""Read what Celery keeps of a worker's requests, while other threads change it."""

from __future__ import annotations

from typing import Any

from celery.worker import state


def active_requests() -> list[Any]:
    """The requests of all Celery tasks that this worker runs now."""
    return snapshot(state.active_requests)


def is_ending() -> bool:
    """Whether the worker was told to end; it may begin to stop its parts only seconds later."""
    flags = (getattr(state, name, None) for name in ("should_stop", "should_terminate"))
    return any(flag is not None and flag is not False for flag in flags)  # 0 is an exit status


def snapshot(them: Any) -> list[Any]:
    """A list of a collection that another thread may change, or of what ``them()`` returns."""
    while True:
        try:
            return list(them() if callable(them) else them)
        except RuntimeError:
            continue
