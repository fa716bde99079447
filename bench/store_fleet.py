"""Put a fleet of workers and its claims into a store, by the calls that real processes make.

These are the store's own methods: they renew leases, and store, queue, start and settle claims.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from bench.store_filler import INPUT
from bench.stub import token
from bridge.model import Claim, Job, Outcome
from bridge.settings import Settings
from bridge.store import ClaimStore, JobStore, Wish
from bridge.store.records import Grant

POLLER = "bench-filler"
"""The poller that stores the claims. It asks for no polls, so it takes no share of the room."""


@dataclass(frozen=True, slots=True)
class FleetShape:
    """How large a fleet is, and how many queues and activities it serves.

    The groups of queues form a ring, and each worker serves two neighbouring groups. So no two
    groups have the same workers, and what is free for one depends on all others.
    """

    workers: int = 300
    slots: int = 4
    queues: int = 20
    groups: int = 12
    activities: int = 100

    def queue_names(self) -> list[str]:
        return [f"queue-{number}" for number in range(self.queues)]

    def served(self, worker: int) -> list[str]:
        """The queues that this worker consumes."""
        groups = {worker % self.groups, (worker + 1) % self.groups}
        names = self.queue_names()
        return [name for number, name in enumerate(names) if number % self.groups in groups]

    def activity_queues(self) -> dict[str, str]:
        """Activity → its queue."""
        names = self.queue_names()
        return {f"activity-{n}": names[n % self.queues] for n in range(self.activities)}


@dataclass(slots=True)
class _Worker:
    """A worker in the store; ``runs`` are claim_ids, ``ordinary`` counts other tasks."""

    name: str
    queues: list[str]
    runs: list[str]
    ordinary: int = 0
    renewals: int = 0


class StoreFleet:
    """A store with a fleet in it; a context manager."""

    def __init__(self, settings: Settings, shape: FleetShape) -> None:
        self.shape = shape
        self.activities = shape.activity_queues()
        self._settings = settings
        self._jobs = JobStore(settings)
        self._runner = asyncio.Runner()
        self._numbers = itertools.count()
        self._workers = [_Worker(f"worker-{n}", shape.served(n), []) for n in range(shape.workers)]
        self._serving: dict[str, list[_Worker]] = defaultdict(list)
        for worker in self._workers:
            for queue in worker.queues:
                self._serving[queue].append(worker)

    def __enter__(self) -> Self:
        self._runner.__enter__()
        self._claims = ClaimStore(self._settings)
        for worker in self._workers:
            self._renew(worker)
        return self

    def __exit__(self, *exc: object) -> None:
        self._runner.run(self._claims.close())
        self._runner.close()
        self._jobs.close()

    def occupy(self, activities: Sequence[str], count: int) -> int:
        """Store ``count`` claims and start them where a slot is free; how many run."""
        running = 0
        for claim_id, activity in self._store(activities, count):
            worker = min(self._serving[self.activities[activity]], key=self._taken)
            if self._taken(worker) >= self.shape.slots:
                continue  # the claim waits
            self._start(claim_id, worker)
            worker.runs.append(claim_id)
            running += 1
        for worker in self._workers:
            self._renew(worker)
        return running

    def occupy_otherwise(self, workers: int) -> None:
        """Let an ordinary task run on each of the first ``workers`` workers."""
        for worker in self._workers[:workers]:
            worker.ordinary = 1
            self._renew(worker)

    def wait(self, activities: Sequence[str], count: int) -> None:
        """Store ``count`` claims that wait in their queues."""
        self._store(activities, count)

    def run_short(self, activities: Sequence[str]) -> None:
        """Run and end a claim of each activity at once: the store then knows its jobs as short."""
        for claim_id, activity in self._store(activities, len(activities)):
            self._start(claim_id, self._serving[self.activities[activity]][0])
            self._jobs.settle(Job(claim_id, 1), Outcome(output="1"))

    def ask(self, poller: str, wishes: Sequence[Wish]) -> Grant:
        """The answer of ``grant_polls`` to this poller."""
        return self._runner.run(self._claims.grant_polls(poller, wishes))

    def wishes(self, *, fresh: int, want: int, only: range | None = None) -> list[Wish]:
        """The same wish for each activity, or with ``only`` for some, and none for the others."""
        return [
            Wish(activity, queue, fresh=fresh, want=want)
            if only is None or number in only
            else Wish(activity, queue, fresh=0, want=0)
            for number, (activity, queue) in enumerate(self.activities.items())
        ]

    def _taken(self, worker: _Worker) -> int:
        return len(worker.runs) + worker.ordinary

    def _store(self, activities: Sequence[str], count: int) -> list[tuple[str, str]]:
        claims = [
            (f"{next(self._numbers):024x}", activities[n % len(activities)]) for n in range(count)
        ]

        async def store(claim_id: str, activity: str) -> None:
            await self._claims.store(
                Claim(claim_id, activity, INPUT),
                token=token(0),
                queue=self.activities[activity],
                interval_s=3_600.0,
                manual=False,
                max_attempts=1,
                poller=POLLER,
            )
            await self._claims.mark_queued(Job(claim_id, 1))

        async def store_all() -> None:
            await asyncio.gather(*(store(*claim) for claim in claims))

        self._runner.run(store_all())
        return claims

    def _start(self, claim_id: str, worker: _Worker) -> None:
        answer = self._jobs.start(Job(claim_id, 1), retry=0, worker=worker.name, run=claim_id)
        assert answer == "run", answer

    def _renew(self, worker: _Worker) -> None:
        worker.renewals += 1
        self._jobs.renew_lease(
            worker.name,
            number=worker.renewals,
            slots=self.shape.slots,
            queues=worker.queues,
            ordinary=worker.ordinary,
            fetches=self._taken(worker) < self.shape.slots,
            claim_ids=worker.runs,
            active=worker.runs,
        )
