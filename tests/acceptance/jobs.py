"""Tasks of the acceptance tests: one for each way in which a job can end.

Every activity's name starts with ``JOBS_PREFIX``, since a poll that a killed process left open
swallows the next task of its activity. Each run appends a line to ``JOBS_SEEN``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from celery import shared_task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from bridge import ActivityError, current

PREFIX = os.environ["JOBS_PREFIX"]
ONLY = os.environ.get("JOBS_ONLY", "").split()
"""The kinds that are activities; empty: all."""


def activity(kind: str) -> str | None:
    return f"{PREFIX}-{kind}" if not ONLY or kind in ONLY else None


def note(kind: str, event) -> None:
    """Append a line for this run, in one write, because several processes append."""
    job = current()
    line = f"{kind} {event.get('id')} {job.claim_id} {job.attempt} {os.getpid()} {time.time()}\n"
    with Path(os.environ["JOBS_SEEN"]).open("a") as seen:
        seen.write(line)


@shared_task(activity=activity("echo"), heartbeat=1)
def echo(event):
    note("echo", event)
    return event


@shared_task(activity=activity("sized"), heartbeat=1)
def sized(event):
    """How large the input is, and whether its text arrived."""
    note("sized", event)
    text = event["text"]
    return {
        "bytes": len(json.dumps(event, ensure_ascii=False).encode()),
        "same": set(text) == {"ä"},
    }


@shared_task(activity=activity("sleep"), heartbeat=1)
def sleep(event):
    note("sleep", event)
    time.sleep(event["seconds"])
    return {"slept": event["seconds"]}


@shared_task(activity=activity("safe"), heartbeat=1, on_lost="retry")
def safe(event):
    note("safe", event)
    time.sleep(event["seconds"])
    return "safe"


@shared_task(activity=activity("poison"), heartbeat=1, on_lost="retry", max_attempts=2)
def poison(event):
    note("poison", event)
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(activity=activity("retry"), heartbeat=1, bind=True, max_retries=5)
def retry(self, event):
    note("retry", event)
    if self.request.retries < event["failures"]:
        raise self.retry(countdown=event.get("countdown", 0), exc=ValueError("not yet"))
    return {"retries": self.request.retries}


@shared_task(
    activity=activity("autoretry"),
    heartbeat=1,
    autoretry_for=(OSError,),
    retry_backoff=False,
    default_retry_delay=0,
    max_retries=1,
)
def autoretry(event):
    note("autoretry", event)
    raise OSError("the disk is on fire")


class TooHot(Exception):
    pass


@shared_task(activity=activity("endings"), heartbeat=1, bind=True, time_limit=30)
def endings(self, event):
    """End as ``event["how"]`` says."""
    note("endings", event)
    how = event["how"]
    if how == "exception":
        raise TooHot("46 degrees")
    if how == "activity-error":
        raise ActivityError("ProcessingError", "row 7 has no price")
    if how.startswith("exit"):
        sys.exit(int(how.removeprefix("exit") or 3))
    if how == "out-of-memory":
        raise MemoryError("no room for the model")
    if how == "ignore":
        raise Ignore
    if how == "reject":
        raise Reject("no such file", requeue=False)
    if how == "replace":
        return self.replace(plain.s(event))
    if how == "nan":
        return {"mean": float("nan")}
    if how == "bytes":
        return b"raw"
    if how == "surrogate":
        return "\ud800"
    if how == "circular":
        loop: list = []
        loop.append(loop)
        return loop
    if how == "large":
        return "x" * 262_143  # two quotes more than Step Functions takes
    if how == "largest":
        return "x" * 262_142
    if how == "long-cause":
        raise TooHot("💥" * 40_000)
    if how == "two-arguments":
        return plain()
    if how == "none":
        return None
    raise AssertionError(how)


@shared_task
def plain(event):
    return event


@shared_task(activity=activity("hard-limit"), heartbeat=1, time_limit=2)
def hard_limit(event):
    note("hard-limit", event)
    time.sleep(event.get("seconds", 60))


@shared_task(activity=activity("soft-limit"), heartbeat=1, soft_time_limit=1)
def soft_limit(event):
    note("soft-limit", event)
    if "fails_after" in event:
        time.sleep(event["fails_after"])
        raise ValueError("before its time was over")
    try:
        time.sleep(60)
    except SoftTimeLimitExceeded:
        if event.get("catch"):
            return "caught"
        raise


@shared_task(activity=activity("requeue"), heartbeat=1)
def requeue(event):
    """Reject the message once; the second delivery succeeds."""
    note("requeue", event)
    marker = Path(f"{os.environ['JOBS_SEEN']}.{event['id']}")
    if not marker.exists():
        marker.touch()
        raise Reject("deliver it again", requeue=True)
    return "second time"


@shared_task(activity=activity("expires"), heartbeat=1, expires=1)
def expires(event):
    note("expires", event)


@shared_task(activity=activity("context"), heartbeat=1)
def context(event):
    note("context", event)
    return {"event": event, "execution": current().context and current().context.execution}


@shared_task(activity=activity("watch"), heartbeat=1)
def watch(event):
    """Run until it is cancelled."""
    note("watch", event)
    while not current().cancelled:
        time.sleep(0.05)
    note("watched", event)
    if event.get("checkpoint"):
        current().checkpoint()
    return "stopped"


@shared_task(
    activity=activity("terminate"),
    heartbeat=1,
    terminate_on_cancel=True,
    autoretry_for=(Exception,),
)
def terminate(event):
    note("terminate", event)
    time.sleep(60)


@shared_task(activity=activity("manual"), heartbeat="manual")
def manual(event):
    """Call heartbeat() for ``event["alive"]`` seconds, then hang for ``event["hangs"]``."""
    note("manual", event)
    deadline = time.monotonic() + event["alive"]
    while time.monotonic() < deadline:
        current().heartbeat()
        time.sleep(0.2)
    time.sleep(event["hangs"])
    return "done"


@shared_task(
    activity=activity("outage"),
    heartbeat=1,
    bind=True,
    autoretry_for=(TooHot,),
    default_retry_delay=1,
    max_retries=3,
)
def outage(self, event):
    """End the first run as ``event["how"]`` says, once the test has stopped the broker."""
    note("outage", event)
    again = Path(f"{os.environ['JOBS_SEEN']}.{event['id']}")
    if again.exists():
        return {**event, "retries": self.request.retries}
    again.touch()
    away = Path(f"{os.environ['JOBS_SEEN']}.away")
    while not away.exists():
        time.sleep(0.05)
    how = event["how"]
    if how == "heartbeat":
        return current().heartbeat()
    if how == "autoretry":
        raise TooHot("once")
    if how == "retry":
        raise self.retry(countdown=1, exc=ValueError("once"))
    if how == "other-arguments":
        raise self.retry(args=({**event, "changed": True},))
    if how == "requeue":
        raise Reject("once", requeue=True)
    if how == "no-throw":
        self.retry(throw=False)
        return "went on"
    if how == "last":
        raise self.retry(max_retries=0, exc=TooHot("too often"))
    raise Reject(OSError("a reason of the task's own"), requeue=False)


if os.environ.get("JOBS_UNKNOWN"):  # code that only the poller has

    @shared_task(activity=activity("unknown"), heartbeat=1)
    def unknown(event):
        return event
