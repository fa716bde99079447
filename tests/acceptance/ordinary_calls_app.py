"""The app of test_ordinary_calls.py: its activity tasks are also called in Celery's own ways.

With ``ORDINARY_BRIDGE`` empty it is the same app without the bridge.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from celery import Celery, Task
from celery.worker.request import Request

app = Celery("ordinary", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["BACKEND"])
app.conf.update(
    broker_transport_options={
        "visibility_timeout": 1,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 0,
    },
    task_publish_retry=False,
    worker_hijack_root_logger=False,
)


def say(*what: object) -> None:
    with Path(os.environ["JOBS_SEEN"]).open("a") as seen:
        seen.write(" ".join(map(str, what)) + "\n")


class OwnRequest(Request):
    def on_accepted(self, pid, time_accepted):
        say("accepted", self.name, type(self.task).__name__)
        super().on_accepted(pid, time_accepted)
        say("acknowledged", self.acknowledged)


CLASSES: list[str] = []


class Base(Task):
    """Notes which of a task's methods Celery calls, and which classes were made of it."""

    Request = OwnRequest

    def __init_subclass__(cls):
        CLASSES.append(cls.__name__)

    def before_start(self, task_id, args, kwargs):
        say("before_start", self.name, args, kwargs)

    def on_success(self, retval, task_id, args, kwargs):
        say("on_success", self.name, retval)

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        say("on_failure", self.name, repr(exc))

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        say("on_retry", self.name, repr(exc))

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        say("after_return", self.name, status)


class Calling(Base):
    """A task with its own ``__call__``, which changes what the task returns."""

    def __call__(self, *args, **kwargs):
        say("call", self.name, self.request.called_directly)
        return ["called", super().__call__(*args, **kwargs)]


def of(kind: str) -> dict[str, object]:
    """The bridge's options of a task: the activity of this kind."""
    return {"activity": f"{os.environ['JOBS_PREFIX']}-{kind}", "heartbeat": 1}


def facts(task) -> dict[str, object]:
    return {
        "class": type(task).__name__,
        "classes": CLASSES,
        "base": isinstance(task, Base),
        "depth": len(task.request_stack),
        "directly": task.request.called_directly,
        "eager": bool(task.request.is_eager),
        "retries": task.request.retries,
    }


@app.task(bind=True, base=Base, **of("nested"))
def nested(self, event, depth=1):
    """Call itself ``depth`` times."""
    inner = self(event, depth - 1) if depth else None
    return {**facts(self), "event": event, "inner": inner}


@app.task(bind=True, base=Calling, **of("calling"))
def calling(self, event, depth=1):
    inner = self(event, depth - 1) if depth else None
    return {**facts(self), "event": event, "inner": inner}


@app.task(
    bind=True,
    base=Base,
    autoretry_for=(KeyError,),
    default_retry_delay=0,
    max_retries=2,
    **of("retrying"),
)
def retrying(self, event):
    if self.request.retries < event["failures"]:
        raise KeyError("again")
    return facts(self)


@app.task(bind=True, **of("slow"))
def slow(self, event):
    say("slow", self.request.id)
    time.sleep(event["seconds"])
    return "slept"


@app.task(acks_late=True, reject_on_worker_lost=True, **of("lost"))
def lost(event):
    """Kill the process that runs it in the first run."""
    say("lost", event["id"])
    marker = Path(f"{os.environ['JOBS_SEEN']}.{event['id']}")
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "second time"


if os.environ["ORDINARY_BRIDGE"]:
    import bridge

    bridge.install(app)
