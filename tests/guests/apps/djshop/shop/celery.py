"""The app of a Django project, as in Celery's documentation."""

import os

from celery import Celery

import bridge  # bridge

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
bridge.install(app)  # bridge
