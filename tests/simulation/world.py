"""One simulation: a deployment, its executions and its faults, all of it from one seed."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from bridge.settings import Settings
from tests.simulation.broker import Broker
from tests.simulation.clock import VirtualLoop
from tests.simulation.faults import Faults
from tests.simulation.jobs import WORLD, App
from tests.simulation.observer import Observer
from tests.simulation.plans import Plan
from tests.simulation.process import PROCESS, Process, ProcessKilled
from tests.simulation.processes import BeatProcess, PollerProcess
from tests.simulation.settings import QUEUES
from tests.simulation.step_functions import StepFunctions
from tests.simulation.store_clients import StoreNetwork
from tests.simulation.store_server import StoreServer
from tests.simulation.store_view import ROOT
from tests.simulation.worker import Worker

KEPT_EVENTS = 3000


class World:
    """Everything of one simulation, and its trace.

    Args:
        faults: How many kinds of faults there are, 0 to 1: half of them at 1.

    Attributes:
        hash: Of the trace so far; the same seed gives the same.
        events: The last events of the trace.
    """

    def __init__(self, seed: int, server: StoreServer, *, faults: float) -> None:
        self.seed = seed
        self.rng = random.Random(f"world {seed}")
        self.server = server
        self.loop = VirtualLoop()
        self.hash = hashlib.sha256()
        self.events: deque[str] = deque(maxlen=KEPT_EVENTS)
        self.settings = Settings(
            store_url="redis://simulated",
            store_prefix=ROOT.strip("{}"),
            tick_s=self.rng.choice((1.0, 3.0, 5.0)),
            patience_s=600.0,
            max_attempts=3,
        )
        self.faults = Faults(self, rates=faults)
        self.network = StoreNetwork(self)
        self.observer = Observer(self)
        self.step_functions = StepFunctions(self)
        self.broker = Broker(self)
        self.app = App(self.settings)
        self.app.send_through(self)
        self.plans: dict[int, Plan] = {}
        self.workers: list[Worker] = []
        self.others: list[PollerProcess | BeatProcess] = []
        self._processes: dict[str, Process] = {}
        self._numbers = 0
        self.armed_kill_point = ""
        self._context = contextvars.Context()
        self._context.run(WORLD.set, self)

    @property
    def now_s(self) -> float:
        return self.loop.time()

    def trace(self, *what: Any) -> None:
        """Add an event to the trace."""
        line = f"{self.now_s:.6f} {' '.join(map(str, what))}"
        self.hash.update(line.encode())
        self.events.append(line)

    def call_later(self, seconds: float, call: Callable[..., Any], *args: Any) -> Any:
        """Call later, whatever becomes of the process that asks."""
        return self.loop.call_later(seconds, call, *args, context=self._context.copy())

    # Processes

    def start_process(self, kind: str) -> None:
        """Start a poller, a beat process or a worker, in a context of its own."""
        self._numbers += 1
        name = f"{kind}{self._numbers}"
        process: Worker | PollerProcess | BeatProcess
        if kind == "worker":
            queues = self.rng.choice((QUEUES, QUEUES, QUEUES[:1], QUEUES[1:]))
            if not any(set(QUEUES) <= set(each.queues) for each in self.workers):
                queues = QUEUES
            process = Worker(self, name, slots=self.rng.randint(2, 6), queues=queues)
            self.workers.append(process)
        else:
            process = PollerProcess(self, name) if kind == "poller" else BeatProcess(self, name)
            self.others.append(process)
        self._processes[name] = process
        self.trace("starts", name)
        self.context_of(process).run(process.start)

    def context_of(self, process: Process | None) -> contextvars.Context:
        """A new context in which code runs as this process's."""
        context = self._context.copy()
        context.run(PROCESS.set, process)
        return context

    def process(self, name: str) -> Process | None:
        """A process of this simulation, dead or alive."""
        return self._processes.get(name)

    def end_process(self, process: Process) -> None:
        """A process ends, or is killed, and is started again soon."""
        if not process.alive:
            return
        self.trace("ends", process.name)
        process.end(self.now_s)
        self.observer.runs.process_ended()
        kind = process.name.rstrip("0123456789")
        if isinstance(process, Worker):
            self.workers.remove(process)
            self.broker.lose_worker(process)
        else:
            self.others.remove(process)  # type: ignore[arg-type]
        self.call_later(self.rng.uniform(0.5, 20.0), self.start_process, kind)

    def freeze(self, process: Process, seconds: float) -> None:
        """A process stands still for some time."""
        process.frozen = True
        self.call_later(seconds, self.thaw, process)

    def thaw(self, process: Process) -> None:
        """A frozen process goes on."""
        process.frozen = False
        for each in (process, *process.children):
            if each.alive:
                self.loop.go_on(each.held)

    @property
    def any_frozen(self) -> bool:
        return any(each.frozen for each in (*self.workers, *self.others))

    def pass_kill_point(self, point: str) -> None:
        """The process that runs comes by a kill point."""
        process = PROCESS.get()
        if point != self.armed_kill_point or process is None:
            return
        self.armed_kill_point = ""
        self.faults.note(f"kill of {process.worker.name} at {point}")
        self.end_process(process.worker)
        raise ProcessKilled

    def close(self) -> None:
        """Free what the loop holds."""
        asyncio.set_event_loop(None)
        self.loop._ready.clear()  # type: ignore[attr-defined]
        self.loop._scheduled.clear()  # type: ignore[attr-defined]
        self.loop.close()
