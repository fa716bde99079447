"""The activities of the bridge's deployments here (``BRIDGE_TASKS=bench.jobs``).

``BENCH_ACTIVITY`` names the activity; with ``BENCH_ACTIVITIES`` above 1 there are so many, with a
number each. With ``BENCH_TIMED=1`` a job lasts as long as its input says, else it does nothing. The
output says when the job began and ended: the stub sees it in the report, so that
no other channel is needed.
"""

from __future__ import annotations

import os

from celery import shared_task

from bench.jobs_plain import noop, timed

NAME = os.environ.get("BENCH_ACTIVITY", "bench")
TIMED = os.environ.get("BENCH_TIMED") == "1"
COUNT = int(os.environ.get("BENCH_ACTIVITIES", "1"))


def activity_names(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}-{number}" for number in range(count)]


for each in activity_names(NAME, COUNT):
    shared_task(name=f"bench.jobs.{each}", activity=each)(timed if TIMED else noop)
