"""Run the floors of the comparison: Celery without Step Functions, and HTTP without Celery."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import redis

from bench.contestants.base import Batch, Contestant
from bench.contestants.bridge import QUIET
from bench.processes import BenchError, python
from bench.program_process import ProgramProcess
from bench.stub import ARN
from bench.stub_server import StubServer, TaskTimes
from bridge.local.valkey import LocalValkey

TIMEOUT_S = 120.0


class RawHttp(Contestant):
    """Polls and reports over signed HTTP: the least that any worker must do."""

    def __init__(self, name: str, stub: StubServer, folder: Path, *, loops: int = 16) -> None:
        super().__init__(name, stub, folder)
        self.loops = loops
        self.label = "signed HTTP"
        self.configuration = f"aiohttp, SigV4Auth, {loops} loops of poll and report"

    def start(self) -> None:
        self.stub.create(self.activity)
        args = ("-m", "bench.programs.signed_http", ARN + self.activity, str(self.loops))
        self.launch("worker", python(*args), "polls")


class CeleryAlone(Contestant):
    """Publishes and runs the no-op job: the least that any bridge to Celery must do.

    Its jobs have no report.
    """

    def __init__(
        self, name: str, stub: StubServer, folder: Path, *, pool: str, concurrency: int
    ) -> None:
        super().__init__(name, stub, folder)
        self.pool, self.concurrency = pool, concurrency
        self.label = f"Celery alone, {pool} {concurrency}"
        self.configuration = (
            f"1 publisher, 1 worker (--pool {pool} --concurrency {concurrency}), Valkey"
        )
        self._seen = self.folder / "seen"
        self._lines_read = 0

    def start(self) -> None:
        self.valkey = LocalValkey().start()
        env = {"CELERY_BROKER_URL": self.valkey.url, "BENCH_SEEN": str(self._seen)}
        celery = python("-m", "celery", "-A", "bench.celery_app", "worker")
        options = ["--pool", self.pool, "--concurrency", str(self.concurrency)]
        options += [*QUIET, "--hostname", f"{self.name}@%h"]
        # No ready text: jobs that are published before the worker is ready wait for it.
        self.launch("worker", [*celery, *options], "", **env)
        self._publisher = ProgramProcess(
            "publisher", endpoint=self.stub.url, folder=self.folder, **env
        )
        self.processes.append(self._publisher)
        self._redis = redis.Redis.from_url(self.valkey.url)

    def batch(self, count: int, *, rate: float = 0.0) -> Batch:
        with self.measured(count) as batch:
            self._publisher.send(f"{count} {rate}")
            self._publisher.read()
            _wait(lambda: self._lines() >= self._lines_read + count)
        rows = self._seen.read_text().splitlines()[self._lines_read :]
        self._lines_read += count
        times = (map(float, row.split()) for row in rows)
        batch.tasks = [
            TaskTimes(scheduled=at, handed=at, reported=None, begun=begun, ended=ended)
            for at, begun, ended in times
        ]
        # A job is done once it is acknowledged, which is after its line was written.
        _wait(lambda: not self._redis.hlen("unacked"))
        return batch

    def _lines(self) -> int:
        return self._seen.read_bytes().count(b"\n") if self._seen.exists() else 0


def _wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not done():
        if time.monotonic() > deadline:
            raise BenchError("Celery's jobs were not done in time")
        time.sleep(0.01)
