"""The rules of the capacity ledger, each as one function; for tests of any size.

The deployment runs with the defaults that a user has, but for short leases and polls that the local
Step Functions returns soon. What is claimed is read from the store many times a second, what is
polled from Step Functions.
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis
from celery import Celery

from bridge.local.stepfunctions import LocalStepFunctions
from bridge.local.valkey import LocalValkey
from bridge.loops.open_polls import IDLE_AFTER_S
from bridge.settings import Settings
from bridge.store import StatusReader, WorkerStatus
from tests.acceptance.deployment import Deployment, Process, Run
from tests.waiting import wait_until

HOLD_S = 3.0
"""How long Step Functions holds a poll without a task; a minute at AWS. Longer than it takes until
all activities have an idle poll: half a second for as many as there is room."""
SOON_S = 5.0
"""Ample, on a machine with much else to do, for what happens within a second."""


def room_of(slots: int) -> int:
    """Claims of long jobs that may wait or run at once: 1.25 a slot."""
    return math.ceil(1.25 * slots)


@dataclass(frozen=True)
class Sample:
    """What the store said at one moment."""

    at: float
    """Unix time, seconds."""
    waiting: dict[str, int]
    """Kind → claims whose job has not begun."""
    running: dict[str, int]
    ended: int
    """Claims that have ended so far."""

    @property
    def total(self) -> int:
        """Claims so far."""
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


class Crowd(Deployment):
    """A deployment of many activities, ``a00`` and on; see crowd.py."""

    def __init__(self, folder: Path, *, activities: int, **env: Any) -> None:
        super().__init__(folder, BRIDGE_TASKS="crowd", CROWD=str(activities), **env)
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
        """Start an execution whose job takes ``seconds``, or ends when ``until`` is released."""
        machine = self._machines.get((kind, timeout_s))
        if machine is None:
            machine = self._machines[kind, timeout_s] = self._machine(kind, timeout_s)
        name = f"{next(self._names)}"
        began = time.time()
        arn = self.execute(machine, id=name, seconds=seconds, **event)
        return Execution(self, kind, name, arn, began)

    def prepare(self, *kinds: str, timeout_s: int = 900) -> None:
        """Make the state machines of these kinds before their time is measured."""
        for kind in kinds:
            if (kind, timeout_s) not in self._machines:
                self._machines[kind, timeout_s] = self._machine(kind, timeout_s)

    def _machine(self, kind: str, timeout_s: int) -> str:
        heartbeat_s = 30 if timeout_s > 30 else None
        return self.one_state(kind, HeartbeatSeconds=heartbeat_s, TimeoutSeconds=timeout_s)

    def forget_durations(self) -> None:
        """Let the store know of no run: all activities count as long, as they do at first."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.delete(f"{{{self.prefix}}}:lasted")

    def occupy(self, slots: int, until: str) -> None:
        """Occupy all slots with ordinary tasks of the app."""
        began = [Path(f"{self.seen_file}.ordinary-{until}-{number}") for number in range(slots)]
        for number in range(slots):
            self.app.send_task("crowd.ordinary", [number, until])
        wait_until(lambda: all(each.exists() for each in began), what=f"{slots} ordinary tasks run")
        self.announced(ordinary=slots)

    def until(self) -> str:
        """A new name of what jobs wait for."""
        return f"until-{next(self._names)}"

    def release(self, until: str) -> float:
        """Let jobs that wait for this go on; the Unix time before they could."""
        now = time.time()
        Path(f"{self.seen_file}.{until}").touch()
        return now

    def announced(self, **facts: Any) -> None:
        """Wait until a worker has announced this: see ``WorkerStatus``."""

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
        """Stop the pollers for a moment, in which executions may be started that wait together."""
        for poller in pollers:
            poller.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for poller in pollers:
                poller.signal(signal.SIGCONT)

    def ends(self, executions: list[Execution], *, timeout_s: float = 60.0) -> Counter[str]:
        """How they ended, once all have."""
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
        """Id of the execution → its first run, of those that have begun."""
        ids = {execution.id for execution in executions}
        found: dict[str, Run] = {}
        for run in self.runs():
            if run.id in ids:
                found.setdefault(run.id, run)
        return found

    def all_begin(self, executions: list[Execution], *, timeout_s: float = SOON_S) -> None:
        """Wait until each has begun to run."""

        def begun() -> bool:
            return len(self.began(executions)) == len(executions)

        wait_until(
            begun, timeout_s=timeout_s, what=f"{len(executions)} executions begin, {self.look()}"
        )

    def look(self) -> Sample:
        """What is claimed now."""
        prefix = f"{self.prefix}-"
        rows = self._reader.read([prefix + kind for kind in self.kinds]).activities
        return Sample(
            time.time(),
            {row.activity.removeprefix(prefix): row.queued for row in rows if row.queued},
            {row.activity.removeprefix(prefix): row.running for row in rows if row.running},
            sum(row.succeeded + row.failed for row in rows),
        )

    def in_flight(self) -> int:
        return sum(row.in_flight for row in self._reader.read([]).activities)

    def polls(self) -> dict[str, list[str]]:
        """Kind → pollers that have a poll open on it, as Step Functions says."""
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
        """Wait until an idle poll is open on each activity: the fleet looks for work."""
        wait_until(
            lambda: set(self.kinds) <= set(self.polls()),
            timeout_s=timeout_s,
            what=f"all of {len(self.kinds)} activities are polled, not only {sorted(self.polls())}",
        )
        time.sleep(IDLE_AFTER_S + 0.1)  # the last of them have found nothing

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
        """Reads what is claimed, many times a second, as long as it is entered."""
        return Watch(self.look)

    def has_processes(self, worker: Process, number: int) -> None:
        """Wait until its pool has so many: Celery forks what it was told to within five seconds."""
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


@dataclass(frozen=True)
class Execution:
    """One execution, and when it was started."""

    crowd: Crowd
    kind: str
    id: str
    arn: str
    started: float
    """Unix time, seconds."""

    def waited_s(self, runs: dict[str, Run]) -> float:
        """From its start until its job began."""
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


@dataclass
class Fleet:
    """A crowd, and the processes of it that tests signal and replace."""

    crowd: Crowd
    worker: Process
    poller: Process


class Fleets:
    """One fleet that tests share; a new one after a test that failed.

    Args:
        slots: ``--concurrency`` of its one worker.
        worker: More of that worker's options.
        hold_s: How long Step Functions holds a poll without a task.
        env: More settings.
    """

    def __init__(
        self,
        folder: Path,
        *,
        activities: int,
        slots: int,
        worker: Sequence[str] = (),
        hold_s: float = HOLD_S,
        **env: str,
    ) -> None:
        self._folder, self._activities, self._env = folder, activities, env
        self._slots, self._options = slots, worker
        self._stepfunctions = LocalStepFunctions(hold_s=hold_s)
        self._crowd: Crowd | None = None
        self._fleet: Fleet | None = None
        self._made = 0

    def __enter__(self) -> Fleets:
        self._stepfunctions.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()
        self._stepfunctions.stop()

    def get(self) -> Fleet:
        """The fleet; it is started when there is none."""
        if self._fleet is None:
            folder = self._folder / str(self._made)
            folder.mkdir()
            self._made += 1
            self._crowd = crowd = Crowd(
                folder,
                valkey=LocalValkey().start(),
                stepfunctions_url=self._stepfunctions.url,
                activities=self._activities,
                **self._env,
            )
            crowd.create_activities()
            crowd.beat()
            self._fleet = Fleet(crowd, self.start_worker(), crowd.poller())
        return self._fleet

    def start_worker(self) -> Process:
        """One more worker of the same kind."""
        assert self._crowd is not None
        return self._crowd.worker(*self._options, concurrency=self._slots)

    def drop(self) -> None:
        """Kill its processes."""
        if self._crowd is not None:
            self._crowd.stop()
        self._crowd = self._fleet = None


def lend(fleets: Fleets, request: Any) -> Iterator[Fleet]:
    """The fleet for one test: the body of a fixture."""
    failed_before = request.session.testsfailed
    yield fleets.get()
    if request.session.testsfailed > failed_before:
        fleets.drop()
