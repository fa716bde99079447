"""A simulated broker of Celery: queues, deliveries, acknowledgements, lost messages."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError

from bridge.model import Job
from tests.simulation.clock import sleep

if TYPE_CHECKING:
    from tests.simulation.worker import Worker
    from tests.simulation.world import World

VISIBILITY_TIMEOUT_S = 900.0
"""After this time a message that is not acknowledged is delivered once more, as with Redis."""
REDELIVERED_AFTER_S = (0.0, 20.0, 60.0)
"""When the messages of a dead worker are delivered again: RabbitMQ does so at once."""
PUBLISH_TIMEOUT_S = 5.0


@dataclass(eq=False)
class Message:
    """One message of a job.

    Attributes:
        tag: Counts deliveries and copies, so that each is known in the trace.
        due_s: When its countdown ends.
    """

    tag: int
    queue: str
    task: str
    headers: dict[str, Any]
    args: list[Any]
    due_s: float
    redelivered: bool = False

    @property
    def job(self) -> Job:
        job = Job.parse(self.headers["id"])
        assert job is not None
        return job

    @property
    def retry(self) -> int:
        return int(self.headers["retries"] or 0)

    def __str__(self) -> str:
        return f"#{self.tag} {self.job.claim_id[:6]}-{self.job.attempt} retry {self.retry}"


class Broker:
    """Queues that workers consume.

    Attributes:
        away_until_s: Until then it takes and delivers nothing.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._queues: dict[str, deque[Message]] = {}
        self._unacked: dict[Message, Worker] = {}
        self._tags = 0
        self._turn = 0
        self._redelivered_after_s = world.rng.choice(REDELIVERED_AFTER_S)
        self.away_until_s = 0.0

    def publish(self, message: Any, queue: str, due_s: float) -> None:
        """Called by Celery in place of sending a message; blocks its greenlet.

        Raises:
            OperationalError: The broker is away, or its answer was lost.
        """
        faults = self._world.faults
        sleep(faults.broker_latency_s())
        if self._world.now_s < self.away_until_s or faults.loses("publish"):
            sleep(PUBLISH_TIMEOUT_S)
            raise OperationalError("the simulated broker does not answer")
        args, _, _ = json.loads(json.dumps(message.body))
        headers = json.loads(json.dumps(message.headers))
        copy = self._message(queue, headers, args, due_s)
        self._world.observer.runs.published(copy)
        if faults.loses("message"):
            self._world.trace("message lost", copy)
        else:
            self._put(copy)
        if faults.loses("duplicate message"):
            self._put(self._message(queue, headers, args, copy.due_s))
        if faults.loses("publish answer"):
            sleep(PUBLISH_TIMEOUT_S)
            raise OperationalError("the simulated broker's answer was lost")

    def _message(self, queue: str, headers: dict[str, Any], args: list[Any], due: float) -> Message:
        self._tags += 1
        return Message(self._tags, queue, headers["task"], headers, args, due)

    def _put(self, message: Message) -> None:
        self._world.trace("published", message)
        self._queues.setdefault(message.queue, deque()).append(message)
        self.deliver()

    def deliver(self) -> None:
        """Give waiting messages to workers that have room for them, in turn."""
        if self._world.now_s < self.away_until_s:
            return
        for name, queue in self._queues.items():
            while queue:
                takers = [each for each in self._world.workers if each.takes_from(name)]
                if not takers:
                    break
                self._turn += 1
                worker, message = takers[self._turn % len(takers)], queue.popleft()
                self._unacked[message] = worker
                worker.receive(message)
                self._world.call_later(VISIBILITY_TIMEOUT_S, self._restore, message)

    def jobs(self) -> set[Job]:
        """The jobs of all messages that wait, or are not acknowledged."""
        waiting = [message for queue in self._queues.values() for message in queue]
        return {message.job for message in (*waiting, *self._unacked)}

    def acknowledge(self, message: Message) -> None:
        """The message is done."""
        if self._unacked.pop(message, None) is not None:
            self._world.trace("acked", message)

    def requeue(self, message: Message) -> None:
        """A worker gives the message back."""
        if self._unacked.pop(message, None) is not None:
            self._world.trace("requeued", message)
            message.redelivered = True
            self._put(message)

    def lose_worker(self, worker: Worker) -> None:
        """A worker's connection is gone: what it has not acknowledged is delivered again."""
        for message in [message for message, its in self._unacked.items() if its is worker]:
            self._world.call_later(self._redelivered_after_s, self.requeue, message)

    def _restore(self, message: Message) -> None:
        """The message was not acknowledged in time: it is delivered again, as Redis does."""
        if message in self._unacked and message.due_s + VISIBILITY_TIMEOUT_S <= self._world.now_s:
            del self._unacked[message]
            copy = self._message(message.queue, message.headers, message.args, 0.0)
            copy.redelivered = True
            self._put(copy)

    def revoke(self, job_id: str, *, terminate: bool = False, **_: Any) -> None:
        """Called by the bridge in place of Celery's ``control.revoke``."""
        sleep(self._world.faults.broker_latency_s())
        if self._world.now_s < self.away_until_s:
            sleep(PUBLISH_TIMEOUT_S)
            raise OperationalError("the simulated broker does not answer")
        self._world.trace("revoked", job_id, terminate)
        if self._world.faults.loses("revocation"):
            return
        for worker in list(self._world.workers):
            self._world.call_later(
                self._world.faults.broker_latency_s(), worker.hear_revocation, job_id, terminate
            )
