"""The bridge as its Procfile starts it: a poller, a worker, a beat, a Valkey of its own."""

from __future__ import annotations

from pathlib import Path

from bench.contestants.base import Contestant
from bench.control import StubServer
from bench.jobs import activity_names
from bench.processes import python
from bridge.local.valkey import LocalValkey

CELERY = python("-m", "celery", "-A", "bridge")


class Bridge(Contestant):
    """One deployment.

    Args:
        pool: Celery's pool of the worker.
        concurrency: Its slots.
        activities: How many activities the tasks module has.
    """

    label = "bridge"
    warm_up = 300  # until the window of polls is as wide as the slots allow

    def __init__(
        self, name: str, stub: StubServer, folder: Path, *, pool: str = "prefork",
        concurrency: int = 4, activities: int = 1, **env: str,
    ) -> None:  # fmt: skip
        super().__init__(name, stub, folder)
        self.pool, self.concurrency, self.activities = pool, concurrency, activities
        self.label = f"bridge, {pool} {concurrency}"
        self.configuration = f"1 poller, 1 worker (--pool {pool} --concurrency {concurrency}), " \
            "1 beat, Valkey"  # fmt: skip
        self.more = env

    def env(self) -> dict[str, str]:
        assert self.valkey is not None
        return {
            "BENCH_ACTIVITY": self.activity,
            "BENCH_ACTIVITIES": str(self.activities),
            "BRIDGE_TASKS": "bench.jobs",
            "CELERY_BROKER_URL": self.valkey.url,
            **self.more,
        }

    def start(self) -> None:
        self.stub.create(*activity_names(self.activity, self.activities))
        self.valkey = LocalValkey().start()
        self.start_worker()
        self.start_beat()
        self.launch("poller", [*CELERY, "poll"], "serves", **self.env())

    def start_worker(self) -> None:
        options = ["--pool", self.pool, "--concurrency", str(self.concurrency)]
        self.launch(
            "worker", [*CELERY, "worker", *options, "--loglevel", "INFO",
                       "--hostname", f"worker-{self.name}@%h"],
            " ready.", **self.env())  # fmt: skip

    def start_beat(self) -> None:
        self.launch(
            "beat", [*CELERY, "worker", "-B", "-Q", "bridge.system", "--pool", "threads",
                     "--concurrency", "8", "--loglevel", "INFO",
                     "--hostname", f"beat-{self.name}@%h"],
            " ready.", **self.env())  # fmt: skip
