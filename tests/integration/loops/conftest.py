"""What the tests of the loops share."""

from __future__ import annotations

import pytest
from celery import Celery

from bridge.registry import Activity, Registry


@pytest.fixture
def registry():
    app = Celery("test", set_as_current=False)
    task = app.task(lambda event: event, name="resize", shared=False)
    yield Registry([Activity("resize", task, "celery", heartbeat_s=10.0)])
    app.close()
