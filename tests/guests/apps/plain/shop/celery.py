"""An app with its own settings, none of which the bridge may change."""

from celery import Celery
from celery.schedules import crontab

import bridge  # bridge

app = Celery("shop", include=["shop.tasks"])
app.conf.update(
    accept_content=["json"],
    beat_schedule={
        "nightly": {"task": "shop.tasks.add", "schedule": crontab(hour=3), "args": (1, 2)}
    },
    broker_transport_options={"visibility_timeout": 3600},
    result_expires=600,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_routes={"shop.tasks.slow": {"queue": "slow"}},
    worker_hijack_root_logger=False,
    worker_prefetch_multiplier=7,
)
bridge.install(app)  # bridge
