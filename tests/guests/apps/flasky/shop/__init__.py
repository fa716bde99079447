"""A Flask app made by a factory, as in Flask's documentation."""

import os

from celery import Celery, Task
from flask import Flask
from kombu import Queue

import bridge  # bridge


def make_celery(flask_app: Flask) -> Celery:
    class ContextTask(Task):
        def __call__(self, *args: object, **kwargs: object) -> object:
            with flask_app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(flask_app.name, task_cls=ContextTask)
    celery_app.config_from_object(flask_app.config["CELERY"])
    bridge.install(celery_app)  # bridge
    celery_app.set_default()
    flask_app.extensions["celery"] = celery_app
    return celery_app


def create_app() -> Flask:
    flask_app = Flask("shop")
    flask_app.config["CURRENCY"] = "EUR"
    flask_app.config["CELERY"] = {
        "broker_url": os.environ["BROKER"],
        "broker_transport_options": {
            "priority_steps": [0, 3, 6, 9],
            "queue_order_strategy": "priority",
            "sep": ":",
        },
        "result_backend": os.environ["BROKER"],
        "task_create_missing_queues": False,
        "task_default_queue": "default",
        "task_queues": [
            Queue("default"),
            Queue("mail"),
            Queue("bills"),
            Queue("pages"),
            Queue("bridge.system"),  # bridge
        ],
        "task_routes": {
            "shop.tasks.mail_*": {"queue": "mail"},
            "shop.tasks.bill": {"queue": "bills"},
            "shop.tasks.page": {"queue": "pages"},
        },
        "task_send_sent_event": True,
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": True,
    }
    make_celery(flask_app)
    return flask_app
