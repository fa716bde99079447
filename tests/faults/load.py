"""Executions that are started at a steady rate, and checks for when they have ended."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.acceptance.deployment import Deployment
from tests.waiting import wait_until


class Load:
    """Starts executions at Step Functions directly, not through a proxy.

    Args:
        per_s: How many executions a second.
        seconds: How long each job takes.
    """

    def __init__(self, deployment: Deployment, machine: str, *, per_s: float, seconds: float):
        self.deployment, self.machine = deployment, machine
        self.pause_s, self.job_s = 1 / per_s, seconds
        self.executions: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._start_them, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object):
        self._ended.set()
        self._thread.join()

    def _start_them(self) -> None:
        while not self._ended.wait(self.pause_s):
            self.executions.append(
                self.deployment.execute(
                    self.machine, id=str(len(self.executions)), seconds=self.job_s
                )
            )

    def statuses(self, *, timeout_s: float = 120) -> Counter:
        """Wait until all executions have ended; how many ended with each status."""
        deadline = time.monotonic() + timeout_s
        with ThreadPoolExecutor(4) as pool:
            ended = pool.map(
                lambda e: self.deployment.ended(e, timeout_s=deadline - time.monotonic()),
                self.executions,
            )
            return Counter(found["status"] for found in ended)


def all_claims_gone(deployment: Deployment, *, timeout_s: float = 60) -> None:
    """Wait until no claim is in flight."""
    wait_until(
        lambda: deployment.status()["totals"]["in_flight"] == 0,
        timeout_s=timeout_s,
        what="no claim is left",
    )


def all_alive(deployment: Deployment) -> None:
    """Assert that no process of the deployment has ended."""
    for process in deployment.processes:
        assert process.alive, process.output
