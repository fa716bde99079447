"""An app with its own base class and request class, canvases, limits and Redis results."""

from celery import Celery
from notes import watch

import bridge  # bridge

app = Celery("shop", task_cls="shop.base:AuditedTask")
bridge.install(app)  # bridge
app.config_from_object("shop.settings")
app.autodiscover_tasks(["shop"])
watch()
