"""Tasks that wait, as for the answer of an HTTP service."""

import socket
import time

import gevent
from notes import note

from shop.celery import app


@app.task
def fetch(number):
    time.sleep(1)  # gevent's: others run meanwhile
    note("did", "fetched", number, socket.socket.__module__)
    return number


@app.task
def spread(numbers):
    return sum(job.value for job in gevent.joinall([gevent.spawn(pow, n, 2) for n in numbers]))


@app.task(bind=True, autoretry_for=(ConnectionError,), max_retries=2, default_retry_delay=0.2)
def unsteady(self):
    raise ConnectionError("refused")


@app.task(time_limit=2)
def hangs():
    time.sleep(30)


@app.task(
    activity="green-crawl",  # bridge
    queue="crawls",
)
def crawl(event):
    time.sleep(0.5)
    return {"crawled": event["number"]}
