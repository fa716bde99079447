"""An ordinary task, and three that are activities; each run appends a line to SEEN."""

import os
import time
from pathlib import Path

from celery import shared_task

PREFIX = os.environ["JOBS_PREFIX"]


def note(*words):
    with Path(os.environ["SEEN"]).open("a") as seen:
        seen.write(" ".join(map(str, words)) + "\n")


@shared_task
def add(x, y):
    note("add", x + y)


@shared_task(
    activity=f"{PREFIX}-price",  # bridge
    heartbeat=1,  # bridge
)
def price(event):
    note("price", event["id"], os.getpid())
    return event["id"] * 2


@shared_task(
    activity=f"{PREFIX}-slow",  # bridge
    heartbeat=1,  # bridge
    on_lost="retry",  # bridge
)
def slow(event):
    note("slow", event["id"], os.getpid())
    time.sleep(event["seconds"])
    return "slept"
