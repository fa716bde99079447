"""An app on SQS: no events, no remote control; results in Redis."""

import os

from celery import Celery
from notes import watch

import bridge  # bridge

app = Celery("shop", broker=os.environ["BROKER"], backend=os.environ["RESULTS"])
app.conf.update(
    broker_transport_options={
        "polling_interval": 0.1,
        "queue_name_prefix": "shop-",
        "region": "us-east-1",
        "visibility_timeout": 120,
        "wait_time_seconds": 1,
    },
    include=["shop.tasks"],
    task_routes={"shop.tasks.order": {"queue": "orders"}},
    worker_enable_remote_control=False,
    worker_send_task_events=False,
)
bridge.install(app)  # bridge
watch()
