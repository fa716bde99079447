"""What all contestants have in common: processes, their weight, and a batch of work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import Process, Weight, environment, weigh
from bench.stub_server import StubServer, TaskTimes
from bridge.local.valkey import LocalValkey


@dataclass(slots=True)
class Batch:
    """Tasks that were done, and what they took.

    Attributes:
        cpu_s: Of every process of the contestant; not of the stub.
        stub_cpu_s: Of the stub.
        tasks: When each was scheduled, begun, ended, reported.
        parts: CPU of each of its processes, as ``cpu_s``, and their memory after it.
    """

    count: int
    cpu_s: float = 0.0
    stub_cpu_s: float = 0.0
    wall_s: float = 0.0
    rss_bytes: int = 0
    tasks: list[TaskTimes] = field(default_factory=list)
    parts: dict[str, Weight] = field(default_factory=dict)

    @property
    def cpu_ms_per_task(self) -> float:
        return 1000 * self.cpu_s / self.count

    @property
    def tasks_per_s(self) -> float:
        return self.count / self.wall_s


class Contestant:
    """Processes that work off tasks of one activity.

    Attributes:
        label: What tables call it.
        warm_up: Tasks that it does before anything is measured.
    """

    label = ""
    configuration = ""
    warm_up = 50

    def __init__(self, name: str, stub: StubServer, folder: Path) -> None:
        self.name = name
        self.activity = f"bench-{name}"
        self.stub = stub
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.processes: list[Process] = []
        self.greetings: list[tuple[Process, str]] = []
        self.valkey: LocalValkey | None = None

    def start(self) -> None:
        """Start the processes, without waiting for them."""
        raise NotImplementedError

    def ready(self) -> None:
        """Wait until they are ready: ``greetings`` says by which text in which process's log."""
        for process, text in self.greetings:
            process.wait_for_log(text)

    def stop(self) -> None:
        try:
            for process in reversed(self.processes):
                process.stop()
        finally:
            if self.valkey is not None:
                self.valkey.stop()

    def launch(self, name: str, args: list[str], greeting: str, **env: str) -> Process:
        process = Process(name, args, env=environment(self.stub.url, **env), folder=self.folder)
        self.processes.append(process)
        self.greetings.append((process, greeting))
        return process

    @property
    def sessions(self) -> list[int]:
        store = [self.valkey.pid] if self.valkey is not None else []
        return [process.pid for process in self.processes] + store

    def weigh(self) -> Weight:
        return weigh(*self.sessions)

    def parts(self) -> dict[str, Weight]:
        """What each of its processes has used so far; ``valkey`` is its store."""
        store = {"valkey": weigh(self.valkey.pid)} if self.valkey is not None else {}
        return {process.name: weigh(process.pid) for process in self.processes} | store

    def batch(self, count: int, *, rate: float = 0.0) -> Batch:
        """Do so many tasks, which come ``rate`` a second (0: all are there at once)."""
        with self.measured(count) as done:
            before = self.stub.counts()["reported"]
            first = self.stub.schedule(self.activity, count, rate)
            self.stub.wait_reported(before + count)
        done.tasks = self.stub.figures(first)
        return done

    @contextmanager
    def measured(self, count: int) -> Iterator[Batch]:
        done = Batch(count)
        parts = self.parts()
        before, stub_before, began = self.weigh(), self.stub.cpu_s, time.monotonic()
        yield done
        done.wall_s = time.monotonic() - began
        after = self.weigh()
        done.stub_cpu_s = self.stub.cpu_s - stub_before
        done.cpu_s, done.rss_bytes = after.cpu_s - before.cpu_s, after.rss_bytes
        done.parts = {name: weight.since(parts[name]) for name, weight in self.parts().items()}
