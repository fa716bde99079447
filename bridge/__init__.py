"""Run AWS Step Functions activities on a Celery fleet: an activity is a Celery task.

>>> from celery import shared_task
>>> @shared_task(activity="image-processing-activity", heartbeat=20)
... def resize(event: dict) -> dict: ...
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bridge.errors import ActivityError, CannotLoad

if TYPE_CHECKING:
    from bridge.installer import install
    from bridge.registry import bind
    from bridge.worker.current import Current, JobCancelled, current

__all__ = ["ActivityError", "Current", "JobCancelled", "bind", "current", "install"]

# Imported at first use, because a task that only raises ActivityError needs none of them.
_LAZY = {
    "Current": "bridge.worker.current",
    "JobCancelled": "bridge.worker.current",
    "bind": "bridge.registry",
    "current": "bridge.worker.current",
    "install": "bridge.installer",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        try:
            module = import_module(_LAZY[name])
        except (ImportError, AttributeError) as exc:
            raise CannotLoad(exc) from exc
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
