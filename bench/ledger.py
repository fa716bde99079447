"""Put a fleet of workers and what occupies it into a store, as the processes themselves would.

All of it goes through the store's own methods: leases with announcements, claims that are stored,
queued, started and settled.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from bench.fill import INPUT
from bench.stub import token
from bridge.model import Claim, Job, Outcome
from bridge.settings import Settings
from bridge.store import ClaimStore, JobStore, Wish
from bridge.store.records import Grant

POLLER = "bench-filler"
"""Stores the claims; it asks for no poll, so that it has no part in the room."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A fleet, and the activities that it serves.

    Each worker serves two neighbours of a ring of groups of queues, so that no two groups have the
    same workers and what is free for one depends on all the others.
    """

    workers: int = 300
    slots: int = 4
    queues: int = 20
    groups: int = 12
    activities: int = 100

    def queue_names(self) -> list[str]:
        return [f"queue-{number}" for number in range(self.queues)]

    def served(self, worker: int) -> list[str]:
        """Queues that this worker consumes."""
        groups = {worker % self.groups, (worker + 1) % self.groups}
        names = self.queue_names()
        return [name for number, name in enumerate(names) if number % self.groups in groups]

    def activity_queues(self) -> dict[str, str]:
        """Activity → its queue."""
        names = self.queue_names()
        return {f"activity-{n}": names[n % self.queues] for n in range(self.activities)}


@dataclass(slots=True)
class _Worker:
    name: str
    queues: list[str]
    runs: list[str]
    ordinary: int = 0
    renewals: int = 0


class Ledger:
    """One store with a fleet; a context manager."""

    def __init__(self, settings: Settings, shape: Shape) -> None:
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
        """Let so many claims run, as far as there are slots; how many do."""
        ids = self._stored(activities, count)
        running = 0
        for claim_id, activity in ids:
            worker = min(self._serving[self.activities[activity]], key=self._taken)
            if self._taken(worker) >= self.shape.slots:
                continue  # it waits
            self._start(claim_id, worker)
            worker.runs.append(claim_id)
            running += 1
        for worker in self._workers:
            self._renew(worker)
        return running

    def occupy_otherwise(self, workers: int) -> None:
        """Let an ordinary task run on each of the first so many workers."""
        for worker in self._workers[:workers]:
            worker.ordinary = 1
            self._renew(worker)

    def wait(self, activities: Sequence[str], count: int) -> None:
        """Let so many claims wait in their queues."""
        self._stored(activities, count)

    def run_short(self, activities: Sequence[str]) -> None:
        """Let a claim of each run and end at once, so that the store knows them as short."""
        for claim_id, activity in self._stored(activities, len(activities)):
            self._start(claim_id, self._serving[self.activities[activity]][0])
            self._jobs.settle(Job(claim_id, 1), Outcome(output="1"))

    def ask(self, poller: str, wishes: Sequence[Wish]) -> Grant:
        """What ``grant_polls`` answers this poller."""
        return self._runner.run(self._claims.grant_polls(poller, wishes))

    def wishes(self, fresh: int, idle: int, want: int, *, only: range | None = None) -> list[Wish]:
        """The same wish for each activity, or for some, and none for the rest."""
        return [
            Wish(activity, queue, fresh, want, idle)
            if only is None or number in only
            else Wish(activity, queue, 0, 0, 0)
            for number, (activity, queue) in enumerate(self.activities.items())
        ]

    def _taken(self, worker: _Worker) -> int:
        return len(worker.runs) + worker.ordinary

    def _stored(self, activities: Sequence[str], count: int) -> list[tuple[str, str]]:
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
        said = self._jobs.start(Job(claim_id, 1), retry=0, worker=worker.name, run=claim_id)
        assert said == "run", said

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
