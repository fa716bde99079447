"""An app on gevent, most of whose tasks wait."""

import os

from celery import Celery
from notes import watch

import bridge  # bridge

app = Celery(
    "shop", broker=os.environ["BROKER"], backend=os.environ["BROKER"], include=["shop.tasks"]
)
app.conf.update(
    task_send_sent_event=True,
    worker_prefetch_multiplier=4,
    worker_send_task_events=True,
)
bridge.install(app)  # bridge
watch()
