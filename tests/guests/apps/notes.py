"""Writes a file of what an app's tasks did and which signals it received; copied into each app."""

import os
from collections.abc import Callable
from typing import Any

from celery import signals

OF_TASKS = [
    "before_task_publish",
    "after_task_publish",
    "task_received",
    "task_prerun",
    "task_postrun",
    "task_success",
    "task_failure",
    "task_retry",
    "task_revoked",
    "task_rejected",
    "task_unknown",
    "task_internal_error",
]
OF_PROCESSES = [
    "celeryd_init",
    "celeryd_after_setup",
    "worker_init",
    "worker_ready",
    "worker_process_init",
    "worker_shutdown",
    "import_modules",
    "after_setup_logger",
    "after_setup_task_logger",
    "beat_init",
    "beat_embedded_init",
]


def note(kind: str, *words: Any) -> None:
    """Add a line in one write, because several processes append."""
    words = (kind, os.environ.get("ROLE", ""), *words)
    line = "\t".join(str(word) for word in words) + "\n"
    with open(os.environ["NOTES"], "a", buffering=1) as file:
        file.write(line)


def _heard(name: str) -> Callable[..., None]:
    def handler(sender=None, task_id=None, headers=None, request=None, **_: Any) -> None:
        request = request or getattr(sender, "request", None)
        task_id = task_id or (headers or {}).get("id") or getattr(request, "id", "")
        task = getattr(request, "name", None) or getattr(sender, "name", None) or sender
        note("signal", name, task_id if name in OF_TASKS else "", task if task_id else "")

    return handler


def watch() -> None:
    """Note every signal of Celery that an app may use."""
    for name in (*OF_TASKS, *OF_PROCESSES):
        getattr(signals, name).connect(_heard(name), weak=False)
