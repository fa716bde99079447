"""The app on SQS of docs/howto/sqs.md."""

import os

from celery import Celery

import bridge  # bridge

app = Celery("shop", include=["shop.tasks"])
app.conf.update(
    broker_transport_options={
        "region": "eu-west-1",
        "is_secure": False,
        "visibility_timeout": int(os.environ.get("VISIBLE_S", "21600")),
        "queue_name_prefix": os.environ["QUEUE_PREFIX"],
        "wait_time_seconds": 2,
        "polling_interval": 0.1,
    },
    task_default_queue="shop.orders",
    task_ignore_result=True,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_prefetch_multiplier=1,
)
bridge.install(app)  # bridge
