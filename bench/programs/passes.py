"""Run beat's passes on request: a command a line on stdin, a line of JSON for each.

``heartbeat`` and ``recover`` run the bridge's system tasks; ``status`` reads what
``celery -A bridge status`` shows; ``publish N`` puts N jobs into the queue. The answer has
``wall_s`` and ``cpu_s`` of this process, and ``said``, what the system task returned.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.store_filler import INPUT
from bridge.app_state import installed
from bridge.celery import app
from bridge.loops.dispatcher import Dispatcher
from bridge.model import Claim
from bridge.store import StatusReader

PASSES = ("heartbeat", "recover")
REFUSED_S = 0.05
"""Pause before a refused pass is asked for again: a process starts only a few in each tick."""


def main() -> None:
    bridge = installed(app)
    bridge.load_tasks()
    reader = StatusReader(bridge.settings)
    activity, dispatcher = next(iter(bridge.registry)), Dispatcher(bridge)

    def publish(count: int) -> None:
        for number in range(count):
            dispatcher.publish(Claim(f"{number:024x}", activity, INPUT))

    work: dict[str, Callable[..., Any]] = {
        "heartbeat": app.tasks["bridge.heartbeat"],
        "recover": app.tasks["bridge.recover"],
        "publish": publish,
        "status": lambda: reader.read(list(bridge.registry)),
    }
    print("ready", flush=True)
    for line in sys.stdin:
        command, *numbers = line.split()
        while True:
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            said = work[command](*map(int, numbers))
            if said is not None or command not in PASSES:
                break
            time.sleep(REFUSED_S)
        spent = {
            "wall_s": time.perf_counter() - wall_s,
            "cpu_s": time.process_time() - cpu_s,
            "said": said if isinstance(said, dict) else None,
        }
        print(json.dumps(spent), flush=True)


if __name__ == "__main__":
    main()
