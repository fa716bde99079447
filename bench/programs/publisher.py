"""Publish the no-op jobs of ``bench.celery_app``: ``COUNT RATE`` a line on stdin, ``done`` back.

It publishes as the bridge does: ``apply_async`` with an id, from one thread. RATE is in jobs a
second; 0 publishes as fast as possible.
"""

from __future__ import annotations

import sys
import time

from bench.celery_app import app, job


def publish(count: int, rate: float) -> None:
    start = time.monotonic()
    for number in range(count):
        if rate:
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
        event = {"n": f"{number:012}", "at": repr(time.time())}
        job.apply_async((event,), task_id=f"bench-{time.time_ns():024x}-{number}", retry=False)


if __name__ == "__main__":
    app.finalize()
    print("ready", flush=True)
    for line in sys.stdin:
        count, rate = line.split()
        publish(int(count), float(rate))
        print("done", flush=True)
