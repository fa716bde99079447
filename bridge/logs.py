"""Format the logs of all processes and of Celery: as text, or as one JSON object a line.

An event of a job is one word, such as ``task_completed``, with fields: ``activity``, ``claim_id``,
``attempt``, ``worker``, ``status``, ``duration_s``, and ``execution`` and ``state`` where the state
passes them. Never a token, an input or an output.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery, signals
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from bridge.app_state import installed
from bridge.settings import is_set

_FIELDS = ("levelname", "name", "message", "processName", "process")
_RENAMED = {"levelname": "level", "name": "logger", "processName": "process", "process": "pid"}
# Celery adds it to its own lines: the job's arguments, which may be secret.
_HIDDEN = ("data",)


def event(logger: logging.Logger, name: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with its fields; a field that is None or empty is left out."""
    if not logger.isEnabledFor(level):
        return
    said = {key: value for key, value in fields.items() if value not in (None, "")}
    text = " ".join(f"{key}={value}" for key, value in said.items())
    logger.log(level, "%s %s", name, text, extra={"event": name, **said})


def connect(app: Celery) -> None:
    """Format the logs of the app's processes as ``BRIDGE_LOG_FORMAT`` says."""
    for number, signal in enumerate((signals.after_setup_logger, signals.after_setup_task_logger)):
        signal.connect(
            lambda logger, **_: _format(app, logger),
            weak=False,
            dispatch_uid=("bridge.logs", number, id(app)),
        )


def _format(app: Celery, logger: logging.Logger) -> None:
    # The app's own processes must not end here because another setting is missing.
    if not is_set("log_format") or installed(app).settings.log_format != "json":
        return
    for handler in logger.handlers:
        handler.setFormatter(
            JsonFormatter(
                _FIELDS,
                rename_fields=_RENAMED,
                timestamp="time",
                reserved_attrs=[*RESERVED_ATTRS, *_HIDDEN],
            )
        )
