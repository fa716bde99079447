"""The processes under test, and a supervisor that starts again what has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from tests.acceptance.deployment import Deployment, Process


class Fleet:
    """Two pollers, three workers and one beat process.

    Attributes:
        restarts: How many processes were started again.
        unexpected: Names of processes that ended although no fault killed them.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        worker = partial(deployment.worker, concurrency=4)
        self.starts: dict[str, Callable[..., Process]] = {
            "poller 1": deployment.poller,
            "poller 2": deployment.poller,
            "worker 1": worker,
            "worker 2": worker,
            "worker 3": partial(worker, "--pool", "threads"),
            "beat": deployment.beat,
        }
        self.running = {name: start() for name, start in self.starts.items()}
        self.restarts = 0
        self.unexpected: list[str] = []
        self._lock = threading.Lock()

    def kill(self, name: str) -> None:
        """Kill -9 a process, then start it again."""
        with self._lock:
            self.running[name].kill()
            self._restart(name)

    def supervise(self) -> None:
        """Start again each process that ended by itself, and note its name."""
        with self._lock:
            for name, process in self.running.items():
                if not process.alive:
                    self.unexpected.append(name)
                    self._restart(name)

    def _restart(self, name: str) -> None:
        self.restarts += 1
        # It is not waited for: while a server is away, no process gets ready.
        self.running[name] = self.starts[name](wait=False)
