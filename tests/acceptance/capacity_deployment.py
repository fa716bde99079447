"""A deployment of many activities, and what is claimed, running and polled in it.

It runs with the defaults that a user has, except for a short lease. Claims are read from the store
many times a second; open polls, from the local Step Functions.
"""

from __future__ import annotations

import itertools
import json
import math
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis
from celery import Celery

from bridge.loops.open_polls import IDLE_AFTER_S
from bridge.settings import Settings
from bridge.store import StatusReader, WorkerStatus
from tests.acceptance.deployment import Deployment, Process, Run
from tests.waiting import wait_until

SOON_S = 5.0
"""A generous limit, for a busy machine, for what takes less than a second."""


def room_of(slots: int) -> int:
    """How many claims of long jobs may wait or run at the same time: 1.25 a slot."""
    return math.ceil(1.25 * slots)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What was claimed at one moment, read from the store."""

    at: float
    """Unix time, seconds."""
    waiting: dict[str, int]
    """Kind → claims whose job has not begun."""
    running: dict[str, int]
    ended: int
    """Claims that have ended so far."""

    @property
    def total(self) -> int:
        """Claims so far, ended ones included."""
        return self.claimed + self.ended

    @property
    def waits(self) -> int:
        return sum(self.waiting.values())

    @property
    def runs(self) -> int:
        return sum(self.running.values())

    @property
    def claimed(self) -> int:
        """Claims that wait or run."""
        return self.waits + self.runs


class CapacityDeployment(Deployment):
    """A deployment of the activities ``a00``, ``a01`` … of many_activities.py."""

    def __init__(self, folder: Path, *, activities: int, **env: Any) -> None:
        super().__init__(folder, BRIDGE_TASKS="many_activities", ACTIVITIES=str(activities), **env)
        self.kinds = [f"a{number:02}" for number in range(activities)]
        self.app = Celery(broker=self.env["CELERY_BROKER_URL"])
        self.app.conf.task_ignore_result = True
        self._reader = StatusReader(
            Settings(store_url=self.valkey.url, store_prefix=self.prefix, lease_s=3, tick_s=0.5)
        )
        self._names = itertools.count(1)
        self._machines: dict[tuple[str, int], str] = {}

    def stop(self) -> None:
        super().stop()
        self._reader.close()
        self.app.close()

    # Work

    def begin(self, kind: str, seconds: float, *, timeout_s: int = 900, **event: Any) -> Execution:
        """Start an execution whose job takes ``seconds``, or runs until ``until`` is released."""
        machine = self._machines.get((kind, timeout_s))
        if machine is None:
            machine = self._machines[kind, timeout_s] = self._machine(kind, timeout_s)
        name = f"{next(self._names)}"
        began = time.time()
        arn = self.execute(machine, id=name, seconds=seconds, **event)
        return Execution(deployment=self, kind=kind, id=name, arn=arn, started=began)

    def prepare(self, *kinds: str, timeout_s: int = 900) -> None:
        """Create the state machines of these kinds before times are measured."""
        for kind in kinds:
            if (kind, timeout_s) not in self._machines:
                self._machines[kind, timeout_s] = self._machine(kind, timeout_s)

    def _machine(self, kind: str, timeout_s: int) -> str:
        heartbeat_s = 30 if timeout_s > 30 else None
        return self.one_state(kind, HeartbeatSeconds=heartbeat_s, TimeoutSeconds=timeout_s)

    def forget_durations(self) -> None:
        """Delete the learnt durations: all activities count as long, as they do at first."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.delete(f"{{{self.prefix}}}:lasted")

    def occupy(self, slots: int, until: str) -> None:
        """Occupy all slots with ordinary tasks of the app."""
        began = [Path(f"{self.seen_file}.ordinary-{until}-{number}") for number in range(slots)]
        for number in range(slots):
            self.app.send_task("many_activities.ordinary", [number, until])
        wait_until(lambda: all(each.exists() for each in began), what=f"{slots} ordinary tasks run")
        self.announced(ordinary=slots)

    def until(self) -> str:
        """A new name that jobs can wait for: see ``release``."""
        return f"until-{next(self._names)}"

    def release(self, until: str) -> float:
        """Let the jobs that wait for this name continue; the Unix time just before that."""
        now = time.time()
        Path(f"{self.seen_file}.{until}").touch()
        return now

    def announced(self, **facts: Any) -> None:
        """Wait until a worker has announced these attributes of ``WorkerStatus``."""

        def workers() -> list[WorkerStatus]:
            return [worker for worker in self._reader.read([]).workers if worker.live]

        def known() -> bool:
            return any(
                all(getattr(worker, name) == value for name, value in facts.items())
                for worker in workers()
            )

        wait_until(known, timeout_s=SOON_S, what=f"a worker has {facts}: {workers()}")

    @contextmanager
    def nothing_claimed(self, *pollers: Process) -> Iterator[None]:
        """Stop the pollers, so that executions started meanwhile wait together."""
        for poller in pollers:
            poller.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for poller in pollers:
                poller.signal(signal.SIGCONT)

    def ends(self, executions: list[Execution], *, timeout_s: float = 60.0) -> Counter[str]:
        """Wait until all have ended; how many ended with each status."""
        deadline = time.monotonic() + timeout_s
        with ThreadPoolExecutor(4) as pool:
            ended = pool.map(
                lambda e: self.ended(e.arn, timeout_s=max(1.0, deadline - time.monotonic())),
                executions,
            )
            return Counter(found["status"] for found in ended)

    # What is seen

    def runs(self) -> list[Run]:
        """The runs of all kinds so far, in the order in which they began."""
        if not self.seen_file.exists():
            return []
        lines = [line.split() for line in self.seen_file.read_text().splitlines()]
        return sorted((Run(*fields[1:]) for fields in lines), key=lambda run: float(run.began))

    def began(self, executions: list[Execution]) -> dict[str, Run]:
        """Of those executions that have begun: id → first run."""
        ids = {execution.id for execution in executions}
        found: dict[str, Run] = {}
        for run in self.runs():
            if run.id in ids:
                found.setdefault(run.id, run)
        return found

    def all_begin(self, executions: list[Execution], *, timeout_s: float = SOON_S) -> None:
        """Wait until each execution's job has begun to run."""

        def begun() -> bool:
            return len(self.began(executions)) == len(executions)

        wait_until(
            begun, timeout_s=timeout_s, what=f"{len(executions)} executions begin, {self.look()}"
        )

    def look(self) -> Sample:
        """A sample of what is claimed now."""
        prefix = f"{self.prefix}-"
        rows = self._reader.read([prefix + kind for kind in self.kinds]).activities
        return Sample(
            at=time.time(),
            waiting={row.activity.removeprefix(prefix): row.queued for row in rows if row.queued},
            running={row.activity.removeprefix(prefix): row.running for row in rows if row.running},
            ended=sum(row.succeeded + row.failed for row in rows),
        )

    def in_flight(self) -> int:
        return sum(row.in_flight for row in self._reader.read([]).activities)

    def polls(self) -> dict[str, list[str]]:
        """Kind → pollers that have a poll open on it, according to Step Functions."""
        url = f"{self.env['AWS_ENDPOINT_URL_SFN']}/_local/polls"
        with urllib.request.urlopen(url, timeout=10) as answer:
            open_polls = json.load(answer)
        ours = self.arn("")
        return {
            arn.removeprefix(ours): names
            for arn, names in open_polls.items()
            if arn.startswith(ours)
        }

    def all_polled(self, *, timeout_s: float = 60.0) -> None:
        """Wait until an idle poll is open on each activity."""
        wait_until(
            lambda: set(self.kinds) <= set(self.polls()),
            timeout_s=timeout_s,
            what=f"all of {len(self.kinds)} activities are polled, not only {sorted(self.polls())}",
        )
        time.sleep(IDLE_AFTER_S + 0.1)  # until the last polls are idle

    def none_polled(self, *, timeout_s: float = 30.0) -> None:
        """Wait until no poll is open."""
        wait_until(
            lambda: not self.polls(), timeout_s=timeout_s, what=f"polls return: {self.polls()}"
        )

    def all_gone(self, *, timeout_s: float = 60.0) -> None:
        """Wait until nothing is in flight."""
        wait_until(
            lambda: not self.in_flight(), timeout_s=timeout_s, what=f"no claim stays: {self.look()}"
        )

    def watched(self) -> Watch:
        """A context manager that samples what is claimed, many times a second."""
        return Watch(self.look)

    def has_processes(self, worker: Process, number: int) -> None:
        """Wait until its pool has so many; Celery forks within five seconds."""
        parent = psutil.Process(worker.popen.pid)
        wait_until(
            lambda: len(parent.children()) == number,
            timeout_s=10 + SOON_S,
            what=f"{number} processes: {parent.children()}",
        )

    def name_of(self, worker: Process) -> str:
        """Celery's name of a worker process."""
        line = next(line for line in worker.output.splitlines() if line.endswith(" ready."))
        return line.removesuffix(" ready.").split()[-1]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One execution, and when it was started."""

    deployment: CapacityDeployment
    kind: str
    id: str
    arn: str
    started: float
    """Unix time, seconds."""

    def waited_s(self, runs: dict[str, Run]) -> float:
        """Seconds from its start until its job began."""
        return float(runs[self.id].began) - self.started


class Watch:
    """Samples of what is claimed, taken in a thread."""

    def __init__(self, look: Callable[[], Sample], *, every_s: float = 0.02) -> None:
        self._look, self._every_s = look, every_s
        self.samples: list[Sample] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        assert self.samples

    def _sample(self) -> None:
        while not self._over.wait(self._every_s):
            self.samples.append(self._look())

    @property
    def most_claimed(self) -> int:
        return max(sample.claimed for sample in self.samples)

    def until(self, unix_s: float) -> list[Sample]:
        """The samples before that time."""
        return [sample for sample in self.samples if sample.at < unix_s]
