"""The tasks module of the bridge's deployments in the bench (``BRIDGE_TASKS=bench.jobs``).

``BENCH_ACTIVITY`` names the activity. With ``BENCH_ACTIVITIES`` above 1 there are that many, each
with a number after its name. With ``BENCH_TIMED=1`` a job lasts as long as its input says;
otherwise it does nothing. Its output says when it began and ended, and the stub reads that in the
report, so no other channel is needed.
"""

from __future__ import annotations

import os

from celery import shared_task

from bench.job_functions import noop, timed

NAME = os.environ.get("BENCH_ACTIVITY", "bench")
TIMED = os.environ.get("BENCH_TIMED") == "1"
COUNT = int(os.environ.get("BENCH_ACTIVITIES", "1"))


def activity_names(name: str, count: int) -> list[str]:
    """The names of ``count`` activities."""
    return [name] if count == 1 else [f"{name}-{number}" for number in range(count)]


for each in activity_names(NAME, COUNT):
    shared_task(name=f"bench.jobs.{each}", activity=each)(timed if TIMED else noop)
