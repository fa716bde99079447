"""An app of Celery alone: a no-op job with the bridge's settings of Celery, and none of its code.

Its jobs append to ``BENCH_SEEN`` when they were published, begun and ended, because they have no
report that could carry this: one line a job, in one write.
"""

from __future__ import annotations

import os

from celery import Celery

from bench.job_functions import noop
from bridge.celery_defaults import defaults_for

URL = os.environ.get("CELERY_BROKER_URL", "redis://")

app = Celery("bench.celery_app", broker=URL)
app.conf.update(defaults_for(URL))

_seen = os.open(os.environ.get("BENCH_SEEN", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@app.task(name="bench.noop", acks_late=True)  # type: ignore[untyped-decorator]
def job(event: dict[str, str]) -> dict[str, float]:
    done = noop(event)
    os.write(_seen, f"{event['at']} {done['begun']} {done['ended']}\n".encode())
    return done
