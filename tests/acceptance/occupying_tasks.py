"""Tasks that occupy a worker: an ordinary one, and an activity with a rate limit."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import shared_task
from jobs import note

PREFIX = os.environ["JOBS_PREFIX"]


@shared_task
def ordinary(until):
    """Run until there is a file of that name; this task is no activity."""
    while not Path(until).exists():
        time.sleep(0.05)


@shared_task(
    activity=f"{PREFIX}-limited", heartbeat=1, rate_limit=os.environ.get("JOBS_RATE", "30/m")
)
def limited(event):
    note("limited", event)
