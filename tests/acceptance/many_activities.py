"""The tasks of the tests of capacity: many activities whose jobs take as long as their events say.

``ACTIVITIES`` is how many. Each run appends a line to ``JOBS_SEEN``, as in jobs.py.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import shared_task

from bridge import current

PREFIX = os.environ["JOBS_PREFIX"]


def note(kind: str, event) -> None:
    """Append a line for this run, in one write, because several processes append."""
    job = current()
    line = f"{kind} {event['id']} {job.claim_id} {job.attempt} {os.getpid()} {time.time()}\n"
    with Path(os.environ["JOBS_SEEN"]).open("a") as seen:
        seen.write(line)


def released(name: str) -> bool:
    """Whether the test has released what waits for this name."""
    return Path(f"{os.environ['JOBS_SEEN']}.{name}").exists()


def activity_task(kind: str, **options):
    """Register a task that runs as long as its event says, even if its claim is closed."""

    def work(event):
        note(kind, event)
        if "until" not in event:
            time.sleep(event["seconds"])
        while "until" in event and not released(event["until"]):
            time.sleep(0.05)
        return event["id"]

    return shared_task(name=f"many_activities.{kind}", activity=f"{PREFIX}-{kind}", **options)(work)


for number in range(int(os.environ["ACTIVITIES"])):
    activity_task(f"a{number:02}", heartbeat=5)
# Its short heartbeat interval shows soon that its claim was closed.
activity_task("stubborn", heartbeat=1)


@shared_task(activity=f"{PREFIX}-later", heartbeat=5, bind=True, max_retries=None)
def later(self, event):
    """Ask once for a retry, after ``event["countdown"]`` seconds."""
    note("later", event)
    if not self.request.retries:
        raise self.retry(countdown=event["countdown"])


@shared_task
def ordinary(number, until):
    """An ordinary task of the app, which occupies a slot until the test releases it."""
    Path(f"{os.environ['JOBS_SEEN']}.ordinary-{until}-{number}").touch()
    while not released(until):
        time.sleep(0.05)
