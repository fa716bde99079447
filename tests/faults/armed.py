"""Imported by a process under test (``BRIDGE_TASKS="jobs,armed"``): arms it, and sets Celery up.

- ``ARMED_POINT``: kill -9 at this point (``support.killpoints``), once in a test; ``ARMED_ONCE`` is
  the file that says so. With ``ARMED_GROUP`` the whole process group dies, a worker with its pool.
- ``ARMED_CONF``: JSON, settings of Celery that have no variable.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from bridge.celery import app
from bridge.support.killpoints import KillPoint, arm


def die() -> None:
    try:
        Path(os.environ["ARMED_ONCE"]).touch(exist_ok=False)
    except FileExistsError:
        return
    if os.environ.get("ARMED_GROUP"):
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if os.environ.get("ARMED_POINT"):
    arm(KillPoint(os.environ["ARMED_POINT"]), die)

for name, value in json.loads(os.environ.get("ARMED_CONF", "{}")).items():
    if isinstance(value, dict):
        value = {**app.conf[name], **value}
    app.conf[name] = value
