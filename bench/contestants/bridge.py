"""Run the bridge as its Procfile does: a poller, workers, a beat process, and a Valkey.

Unlike in the Procfile, workers do not log their tasks; no contestant does.
"""

from __future__ import annotations

from pathlib import Path

from bench.contestants.base import Contestant
from bench.jobs import activity_names
from bench.processes import python
from bench.stub_server import StubServer
from bridge.local.valkey import LocalValkey

CELERY = python("-m", "celery", "-A", "bridge")
QUIET = ("--loglevel", "WARNING")


class Bridge(Contestant):
    """One deployment.

    Args:
        pool: Celery's pool of each worker.
        concurrency: Slots of each worker.
        workers: How many workers.
        activities: How many activities the tasks module has.
        env: More environment variables for all of its processes.
    """

    label = "bridge"
    warm_up = 300  # tasks until the poller has as many polls open as the slots allow

    def __init__(
        self,
        name: str,
        stub: StubServer,
        folder: Path,
        *,
        pool: str = "prefork",
        concurrency: int = 4,
        workers: int = 1,
        activities: int = 1,
        **env: str,
    ) -> None:
        super().__init__(name, stub, folder)
        self.pool, self.concurrency, self.workers = pool, concurrency, workers
        self.activities = activities
        self.label = f"bridge, {pool} {f'{workers} × ' if workers > 1 else ''}{concurrency}"
        self.configuration = (
            f"1 poller, {workers} × worker (--pool {pool} --concurrency {concurrency}), "
            "1 beat, Valkey"
        )
        self._more_env = env

    def env(self) -> dict[str, str]:
        assert self.valkey is not None
        return {
            "BENCH_ACTIVITY": self.activity,
            "BENCH_ACTIVITIES": str(self.activities),
            "BRIDGE_TASKS": "bench.jobs",
            "CELERY_BROKER_URL": self.valkey.url,
            **self._more_env,
        }

    def start(self) -> None:
        self.stub.create(*activity_names(self.activity, self.activities))
        self.valkey = LocalValkey().start()
        for number in range(self.workers):
            self.start_worker(number)
        self.start_beat()
        slots = self.workers * self.concurrency
        self.launch("poller", [*CELERY, "poll"], f"workers offer {slots} slots", **self.env())

    def start_worker(self, number: int) -> None:
        name = f"worker{number or ''}"
        options = ["--pool", self.pool, "--concurrency", str(self.concurrency)]
        options += [*QUIET, "--hostname", f"{name}-{self.name}@%h"]
        self.launch(name, [*CELERY, "worker", *options], "", **self.env())

    def start_beat(self) -> None:
        options = ["-B", "-Q", "bridge.system", "--pool", "threads", "--concurrency", "8"]
        options += ["--loglevel", "INFO", "--hostname", f"beat-{self.name}@%h"]
        self.launch("beat", [*CELERY, "worker", *options], " ready.", **self.env())
