"""Runs the beat process's passes when told to; one word a line on stdin, JSON back.

``heartbeat`` and ``recover`` run the bridge's system tasks; ``status`` reads what
``celery -A bridge status`` shows. Each answers {"wall_s", "cpu_s"} of this process.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from bridge.celery import app
from bridge.installation import installed
from bridge.store import StatusReader


def main() -> None:
    bridge = installed(app)
    bridge.load_tasks()
    reader = StatusReader(bridge.settings)
    work: dict[str, Callable[[], Any]] = {
        "heartbeat": app.tasks["bridge.heartbeat"],
        "recover": app.tasks["bridge.recover"],
        "status": lambda: reader.read(list(bridge.registry)),
    }
    print("ready", flush=True)
    for line in sys.stdin:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        work[line.strip()]()
        spent = {
            "wall_s": time.perf_counter() - wall_s,
            "cpu_s": time.process_time() - cpu_s,
        }
        print(json.dumps(spent), flush=True)


if __name__ == "__main__":
    main()
