"""Run the processes of a contestant, give it a batch of tasks, and measure what it used."""

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
    """Tasks that were done, and what they used.

    Attributes:
        cpu_s: CPU of all processes of the contestant, without the stub's.
        rss_bytes: Resident memory of all its processes, after the batch.
        tasks: The moments of each task.
        parts: CPU of each of its processes, and their memory after the batch.
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
    """Processes that do the tasks of one activity.

    Attributes:
        label: Its name in tables.
        configuration: Its processes and their options, for people.
        warm_up: How many tasks it does before anything is measured.
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
        self._ready_texts: list[tuple[Process, str]] = []
        self.valkey: LocalValkey | None = None

    def start(self) -> None:
        """Start the processes, without waiting until they are ready."""
        raise NotImplementedError

    def ready(self) -> None:
        """Wait until each process has logged the text with which it says that it is ready."""
        for process, text in self._ready_texts:
            process.wait_for_log(text)

    def stop(self) -> None:
        try:
            for process in reversed(self.processes):
                process.stop()
        finally:
            if self.valkey is not None:
                self.valkey.stop()

    def launch(self, name: str, args: list[str], ready_text: str, **env: str) -> Process:
        """Start a process; ``ready_text`` appears in its log when it is ready ("": at once)."""
        process = Process(name, args, env=environment(self.stub.url, **env), folder=self.folder)
        self.processes.append(process)
        self._ready_texts.append((process, ready_text))
        return process

    @property
    def sessions(self) -> list[int]:
        """Sessions of its processes, its store's included."""
        store = [self.valkey.pid] if self.valkey is not None else []
        return [process.pid for process in self.processes] + store

    def weigh(self) -> Weight:
        """What all of its processes have used so far."""
        return weigh(*self.sessions)

    def parts(self) -> dict[str, Weight]:
        """What each of its processes has used so far; ``valkey`` is its store."""
        store = {"valkey": weigh(self.valkey.pid)} if self.valkey is not None else {}
        return {process.name: weigh(process.pid) for process in self.processes} | store

    def batch(self, count: int, *, rate: float = 0.0) -> Batch:
        """Do ``count`` tasks, which are scheduled ``rate`` a second (0: all at once)."""
        with self.measured(count) as batch:
            before = self.stub.counts()["reported"]
            first = self.stub.schedule(self.activity, count, rate)
            self.stub.wait_reported(before + count)
        batch.tasks = self.stub.figures(first)
        return batch

    @contextmanager
    def measured(self, count: int) -> Iterator[Batch]:
        """Measure what the contestant uses until the context ends; the batch then has it."""
        batch = Batch(count)
        parts = self.parts()
        before, stub_before, began = self.weigh(), self.stub.cpu_s, time.monotonic()
        yield batch
        batch.wall_s = time.monotonic() - began
        after = self.weigh()
        batch.stub_cpu_s = self.stub.cpu_s - stub_before
        batch.cpu_s, batch.rss_bytes = after.cpu_s - before.cpu_s, after.rss_bytes
        batch.parts = {name: weight.since(parts[name]) for name, weight in self.parts().items()}
