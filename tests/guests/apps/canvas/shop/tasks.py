"""The app's tasks; pack is an activity too, and is called as a task as well."""

import os
import time

from celery import shared_task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from notes import note


class Flaky(Exception):
    pass


@shared_task
def add(x, y):
    return x + y


@shared_task
def total(numbers):
    return sum(numbers)


@shared_task
def report_daily(number):
    return {"report": number}


@shared_task
def ordered(number):
    note("order", "ordered", number)


@shared_task
def limited(number):
    note("did", "limited", number)
    return number


@shared_task
def keyed(*, name, size=1):
    return name * size


@shared_task(autoretry_for=(Flaky,), max_retries=3, retry_backoff=0.1, retry_jitter=False)
def flaky(key, failures):
    path = f"{os.environ['NOTES']}.{key}"
    with open(path, "a+") as file:
        file.write("x")
        file.seek(0)
        tried = len(file.read())
    if tried <= failures:
        raise Flaky(f"{key} failed {tried} times")
    return tried


@shared_task(bind=True, max_retries=2)
def again(self, number):
    raise self.retry(countdown=0.2, exc=ValueError(f"{number} is never right"))


@shared_task(throws=(KeyError,))
def missing(key):
    raise KeyError(key)


@shared_task
def ignored():
    raise Ignore


@shared_task(acks_late=True)
def rejected():
    raise Reject("not today", requeue=False)


@shared_task(bind=True)
def replaced(self, number):
    raise self.replace(add.si(number, 100))


@shared_task(soft_time_limit=1, time_limit=30)
def too_long():
    try:
        time.sleep(20)
    except SoftTimeLimitExceeded:
        note("did", "soft limit")
        raise


@shared_task(time_limit=2)
def far_too_long():
    time.sleep(20)


@shared_task(acks_late=True, reject_on_worker_lost=False)
def dies():
    os._exit(3)


@shared_task
def sleeps(seconds):
    time.sleep(seconds)
    return seconds


@shared_task(ignore_result=True)
def failed(request, exc, traceback):
    note("did", "errback", request.task, repr(exc))


@shared_task(
    activity="canvas-pack",  # bridge
    heartbeat=10,  # bridge
    acks_late=False,
)
def pack(event):
    return {"packed": event["number"]}
