"""An app on RabbitMQ: its own exchanges, quorum and classic queues, priorities, late acks."""

import os

from celery import Celery
from kombu import Exchange, Queue
from notes import watch

import bridge  # bridge

app = Celery("shop", broker=os.environ["BROKER"], backend="rpc://", include=["shop.tasks"])
bridge.install(app)  # bridge
orders = Exchange("orders", type="topic")
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_default_exchange="shop",
    task_default_exchange_type="direct",
    task_default_queue="shop",
    task_default_routing_key="shop",
    task_queues=[
        Queue("shop", Exchange("shop"), routing_key="shop"),
        Queue(
            "quick", Exchange("shop"), routing_key="quick", queue_arguments={"x-max-priority": 9}
        ),
        Queue("orders", orders, routing_key="order.#", queue_arguments={"x-queue-type": "quorum"}),
    ],
    task_routes={
        "shop.tasks.order": {"queue": "orders", "routing_key": "order.new"},
        "shop.tasks.quick": {"queue": "quick"},
    },
    task_send_sent_event=True,
    worker_detect_quorum_queues=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
)
watch()
