"""The bridge leaves the app's settings and its ordinary tasks' options as they are."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.lasts(5)

SETTINGS = """
import json
from shop.celery import app
app.loader.import_default_modules()
app.finalize()
tasks = {
    name: [task.acks_late, task.reject_on_worker_lost, task.ignore_result, task.max_retries]
    for name, task in app.tasks.items() if not name.startswith("bridge.")
}
settings = app.conf.table(with_defaults=False)
print(json.dumps({"settings": settings, "tasks": tasks}, default=repr))
"""


def test_settings_and_options_are_unchanged(host_app):
    """All settings are the same, and so are the options of tasks that are no activities."""
    env = {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    without = json.loads(host_app("plain", bridge=False).python(SETTINGS, **env))
    found = json.loads(host_app("plain").python(SETTINGS, **env))
    assert found["settings"] == without["settings"]
    for found_in in (without, found):
        del found_in["tasks"]["shop.tasks.pack"]
    assert found["tasks"] == without["tasks"]


def test_celery_report_is_unchanged(host_app):
    """It prints the same, although the bridge's module of tasks is in `include`."""
    said = []
    for bridge in (False, True):
        done = host_app("plain", bridge=bridge).celery("report", CELERY_BROKER_URL="memory://")
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.splitlines())
    without, with_ = said
    assert with_ == without
