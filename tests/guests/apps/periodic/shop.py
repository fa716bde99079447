"""An app with periodic tasks, and the scheduler that SCHEDULER names."""

import os
from pathlib import Path

from celery import Celery

import bridge  # bridge

SCHEDULERS = {
    "django": "django_celery_beat.schedulers:DatabaseScheduler",
    "redbeat": "redbeat.RedBeatScheduler",
}

app = Celery("shop")
app.conf.beat_schedule = {"set": {"task": "shop.note", "schedule": 1.0, "args": ["set"]}}
if os.environ["SCHEDULER"] in SCHEDULERS:
    app.conf.beat_scheduler = SCHEDULERS[os.environ["SCHEDULER"]]
if os.environ["SCHEDULER"] == "redbeat":
    app.conf.redbeat_redis_url = os.environ["CELERY_BROKER_URL"]
bridge.install(app)  # bridge


@app.on_after_configure.connect
def add_periodic_tasks(sender, **_):
    sender.add_periodic_task(1.0, note.s("added"), name="added")


@app.task(name="shop.note", ignore_result=True)
def note(name):
    with Path("notes").open("a") as file:
        file.write(f"{name}\n")
