"""A shop's Celery app that writes down what its worker does with each message.

``SHOP_BRIDGE=1`` installs the bridge; nothing else differs.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

from celery import Celery, signals

BROKER = os.environ.get("SHOP_BROKER", "memory://")
QUEUE = "shop"
ACTIVITY = "foreign-work"

app = Celery("shop", broker=BROKER)
app.conf.update(
    accept_content=["json", "pickle"],
    broker_connection_retry_on_startup=True,
    task_default_queue=QUEUE,
    task_ignore_result=True,
    worker_prefetch_multiplier=0,  # so that the bridge takes as many at once as it ever does
)
if os.environ.get("SHOP_BRIDGE"):
    import bridge

    bridge.install(app)

_lock = threading.Lock()
_notes = Path(os.environ.get("SHOP_NOTES", os.devnull)).open("a", buffering=1)  # noqa: SIM115


def note(where: str, what: str, *said: object) -> None:
    """Write a line: where (the worker's loop, a run, a log), what happened, to which message."""
    with _lock:
        _notes.write(json.dumps([where, what, *map(repr, said)]) + "\n")


@app.task(name="shop.mail")
def mail(*args, **kwargs):
    note("run", "mail", args, kwargs)
    return len(args)


@app.task(name="shop.bound", bind=True)
def bound(self, *args, **kwargs):
    note("run", "bound", self.request.id, args, kwargs, self.request.retries)


@app.task(name="shop.one")
def one(event):
    note("run", "one", event)
    raise ValueError(event)


@app.task(name="shop.late", acks_late=True)
def late(*args):
    note("run", "late", args)


@app.task(name="shop.work", activity=ACTIVITY)
def work(event):
    note("run", "work", event)
    return event


@app.task(name="shop.end")
def end(name):
    note("run", "end", name)


@signals.task_received.connect
def _received(request, **_):
    note("loop", "received", request.name, request.id, request.eta, request.expires)


@signals.task_unknown.connect
def _unknown(name, id, **_):  # noqa: A002
    note("loop", "unknown", name, id)


@signals.task_rejected.connect
def _rejected(message, exc, **_):
    note("loop", "rejected", type(exc).__name__, message.delivery_tag)


@signals.task_revoked.connect
def _revoked(request, terminated, expired, **_):
    note("loop", "revoked", request.id, terminated, expired)


@signals.task_prerun.connect
def _prerun(task_id, task, args, kwargs, **_):
    note("run", "prerun", task.name, task_id, args, kwargs)


@signals.task_postrun.connect
def _postrun(task_id, task, state, **_):
    note("run", "postrun", task.name, task_id, state)


@signals.task_failure.connect
def _failure(sender, task_id, exception, **_):
    note("run", "failure", sender.name, task_id, type(exception).__name__)


@signals.task_internal_error.connect
def _internal(sender, task_id, exception, **_):
    note("run", "internal error", sender.name, task_id, type(exception).__name__)


class _Log(logging.Handler):
    def emit(self, record):
        if record.name.startswith(("celery", "kombu")):
            text = str(record.msg).strip().splitlines() or [""]
            note("log", record.levelname, record.name, text[0])


@signals.after_setup_logger.connect
def _log(logger, **_):
    logger.addHandler(_Log(logging.WARNING))
