"""Lets a process under test kill itself at a point; imported by ``BRIDGE_TASKS="jobs,armed"``.

- ``ARMED_POINT``: the point of kill -9 (``support.killpoints``). It happens once in a test:
  ``ARMED_ONCE`` is the file that records it. With ``ARMED_GROUP`` the whole process group is
  killed, such as a worker with its pool.
- ``ARMED_CONF``: JSON with Celery settings that have no environment variable.
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
