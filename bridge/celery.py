"""The Celery app of ``celery -A bridge``, with settings that were measured to work."""

from __future__ import annotations

from bridge.errors import CannotLoad

try:
    from celery import Celery

    from bridge.celery_defaults import defaults_for
    from bridge.installer import setup
    from bridge.settings import DEFAULT_BROKER_URL
except (ImportError, AttributeError) as exc:
    raise CannotLoad(exc) from exc

app = Celery("bridge")
app.add_defaults({"broker_url": DEFAULT_BROKER_URL})
app.add_defaults(lambda: defaults_for(app.conf.broker_read_url))
setup(app, imports_tasks=True)
