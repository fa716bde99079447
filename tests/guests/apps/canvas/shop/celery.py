"""An app with a base class and a request class of its own, canvases, limits and Redis results."""

from celery import Celery
from notes import watch

import bridge  # bridge

app = Celery("shop", task_cls="shop.base:AuditedTask")
bridge.install(app)  # bridge
app.config_from_object("shop.settings")
app.autodiscover_tasks(["shop"])
watch()
