"""A simulated Celery worker with a prefork pool: the bridge's side of it is the real code.

The parent receives messages, keeps the lease and sends Celery's signals. A child runs one job in
Celery's real tracer, which calls the real task runner. Messages are acknowledged late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from billiard.exceptions import WorkerLostError
from celery import signals
from celery.exceptions import Reject

from bridge.model import Job
from bridge.worker.lease import Lease
from bridge.worker.occupancy import Announcement
from tests.simulation.broker import Message
from tests.simulation.clock import Thread, sleep
from tests.simulation.process import PROCESS, Process

if TYPE_CHECKING:
    from tests.simulation.world import World

FETCHES_AFTER_S = 1.0
"""How long a worker must have had room before it says that it would take another message."""


@dataclass(eq=False)
class Request:
    """What Celery calls a request: a message that a worker has."""

    message: Message
    child: Process | None = None
    id: str = ""
    type: str = ""
    request_dict: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.id, self.type = self.message.job.id, self.message.task
        self.request_dict = self.message.headers


class Worker(Process):
    """One worker: its parent process.

    Attributes:
        slots: Children of its pool.
        requests: What it has and has not acknowledged.
        at_exit: What the bridge registered with ``atexit``.
    """

    def __init__(self, world: World, name: str, *, slots: int, queues: tuple[str, ...]) -> None:
        super().__init__(name)
        self._world = world
        self.slots, self.queues = slots, queues
        self.requests: list[Request] = []
        self.at_exit: list[Callable[[], None]] = []
        self.endings: Any = None
        self.revoked: set[str] = set()
        self._ready: deque[Request] = deque()
        self._draining = False
        self._roomy_since_s = 0.0

    def start(self) -> None:
        """Begin to renew the lease and to consume."""
        app = self._world.app.celery
        controller = SimpleNamespace(app=app, hostname=self.name, simulated=self)
        self.lease = Lease(self._world.app.installation, controller)
        self.lease.start()
        self._world.broker.deliver()

    # Messages

    @property
    def running(self) -> list[Request]:
        return [request for request in self.requests if request.child is not None]

    @property
    def has_room(self) -> bool:
        """Whether it takes another message: Celery prefetches one for each slot."""
        waits = sum(request.message.due_s <= self._world.now_s for request in self.requests)
        return waits < 2 * self.slots and not self._draining

    def takes_from(self, queue: str) -> bool:
        return self.runs and queue in self.queues and self.has_room

    def receive(self, message: Message) -> None:
        """The broker delivers a message."""
        request = Request(message)
        self.requests.append(request)
        self._world.trace("received", self.name, message)
        wait_s = message.due_s - self._world.now_s
        latency_s = self._world.faults.broker_latency_s()
        self.call_later(max(wait_s, latency_s), self._make_ready, request)

    def call_later(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        """Call in this process, unless it has died by then."""
        self._world.loop.call_later(seconds, call, *args, context=self._world.context_of(self))

    def _make_ready(self, request: Request) -> None:
        if request.id in self.revoked:
            self._in_parent(self._end_revoked, request, False)
        else:
            self._ready.append(request)
            self._fill_slots()

    def _fill_slots(self) -> None:
        while self._ready and len(self.running) < self.slots and not self._draining:
            request = self._ready.popleft()
            request.child = child = Process(f"{self.name}/child", parent=self)
            self._world.context_of(child).run(Thread(target=self._run, args=(request,)).start)

    def _run(self, request: Request) -> None:
        """In a child: run the job, and tell the parent how it has ended."""
        message = request.message
        self._world.trace("job", self.name, message)
        options = {
            **message.headers,
            "hostname": self.name,
            "delivery_info": {"redelivered": message.redelivered, "routing_key": message.queue},
            "reply_to": "",
            "correlation_id": request.id,
            "is_eager": False,
        }
        requeue = False
        try:
            traced = self._world.app.trace(message.task, request.id, message.args, options)
            exc = traced.info.retval if traced.info is not None else None
            requeue = isinstance(exc, Reject) and bool(exc.requeue)
        except SystemExit:
            pass  # Celery acknowledges a job whose child calls sys.exit()
        self.call_later(self._world.faults.broker_latency_s() / 4, self._done, request, requeue)

    def _done(self, request: Request, requeue: bool = False) -> None:
        """In the parent: a child has ended its job."""
        if request not in self.requests:
            return
        self.requests.remove(request)
        if requeue:
            self._world.broker.requeue(request.message)
        else:
            self._world.observer.runs.acknowledged(request.message, request.child)
            self._world.broker.acknowledge(request.message)
        self._roomy_since_s = self._world.now_s
        self._fill_slots()
        self._world.broker.deliver()
        self._end_if_drained()

    # Endings that no child sees

    def _in_parent(self, work: Callable[..., None], *args: Any) -> None:
        self._world.context_of(self).run(Thread(target=work, args=args).start)

    def hear_revocation(self, job_id: str, terminate: bool) -> None:
        """Celery's remote control says that a job is revoked."""
        if not self.runs:
            return
        self.revoked.add(job_id)
        for request in self.running:
            if request.id == job_id and terminate:
                self._kill(request)
                self._in_parent(self._end_revoked, request, True)

    def kill_child(self, number: int) -> None:
        """A child of the pool is killed, as when it runs out of memory."""
        request = self.running[number]
        self._world.trace("child killed", self.name, request.message)
        self._kill(request)
        self._in_parent(self._end_lost, request)

    def _kill(self, request: Request) -> None:
        assert request.child is not None
        request.child.end(self._world.now_s)
        self._world.observer.runs.process_ended()

    def _end_lost(self, request: Request) -> None:
        sleep(0.02)
        lost = WorkerLostError("the simulated child was killed")
        task = self._world.app.task(request.type)
        signals.task_failure.send(sender=task, task_id=request.id, exception=lost)
        self._done(request)

    def _end_revoked(self, request: Request, terminated: bool) -> None:
        task = self._world.app.task(request.type)
        signals.task_revoked.send(
            sender=task, request=request, terminated=terminated, expired=False, signum=None
        )
        self._done(request)

    # The end of the worker

    def drain(self) -> None:
        """SIGTERM: take nothing more, finish what runs, and end."""
        if not self._draining:
            self._world.trace("drains", self.name)
            self._draining = True
            self.lease.drain()
            self._end_if_drained()

    def _end_if_drained(self) -> None:
        if self._draining and not self.running:
            self._in_parent(self._leave)

    def _leave(self) -> None:
        for call in self.at_exit:
            call()
        self.at_exit.clear()
        self._world.end_process(self)


class Occupancy:
    """What a worker announces; stands in for ``bridge.worker.occupancy.OccupancyReader``."""

    def __init__(self, controller: Any, tasks: Any) -> None:
        self._worker: Worker = controller.simulated

    def sample(self, *, draining: bool = False) -> Announcement:
        worker = self._worker
        roomy_s = worker._world.now_s - worker._roomy_since_s
        busy = len(worker.running) >= worker.slots or not worker.has_room
        return Announcement(
            slots=0 if draining else worker.slots,
            queues=worker.queues,
            ordinary=0,
            fetches=not busy and not draining and roomy_s >= FETCHES_AFTER_S,
            held_back=frozenset(),
        )

    def active(self) -> set[str]:
        return {request.message.job.claim_id for request in self._worker.running}

    def revoked(self) -> set[str]:
        running = self._worker.running
        return {r.message.job.claim_id for r in running if r.id in self._worker.revoked}

    def claims(self) -> set[str]:
        return {request.message.job.claim_id for request in self._worker.requests}

    def job_of(self, request: Any) -> Job | None:
        return Job.parse(request.id)


def active_requests() -> list[Any]:
    """Stands in for the function of ``bridge.worker.occupancy`` in the worker that asks."""
    process = PROCESS.get()
    assert process is not None
    return list(process.worker.running)
