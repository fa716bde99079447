"""A fleet that a test plays against the real scripts, with its own record of what is true.

Workers, jobs and pollers act through the store's typed methods; ``Fleet.ledger()`` says from the
record alone what the ledger has to know.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import redis

from bridge.model import Claim, Job, Outcome, claim_id_of
from bridge.settings import Settings
from bridge.store import ClaimStore, JobStore, Settled, Start, Wish
from bridge.store.records import Grant
from tests.model.false_clock import set_clock
from tests.model.ledger import Lane, Ledger, Polls, Worker

LEASE_S = 300.0
"""Leases of the fleet end when the test says so, and not by time."""
RUNS_REMEMBERED, FORGOTTEN_AFTER_MS = 20, 3_600_000


@dataclass
class Announced:
    """A worker that lives."""

    slots: int
    queues: frozenset[str]
    ordinary: int = 0
    number: int = 0


@dataclass(eq=False)
class Held:
    """A claim, and what became of it."""

    job: Job
    lane: Lane
    state: str = "waiting"
    """waiting, running, settled, closed."""
    worker: str = ""
    run: str = ""
    began_ms: int = 0
    due_ms: int = 0
    held_back_by: str = ""
    still_runs_on: str = ""
    """The worker that runs it on, though the claim is closed."""


class Ran(NamedTuple):
    """When a run ended, and how long it took."""

    ended_ms: int
    lasted_ms: int


class Stores:
    """Both sides of the store, with given settings; called from blocking tests."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(store_prefix="ledger", lease_s=LEASE_S, **settings)
        self.jobs = JobStore(self.settings)
        self.loop = asyncio.Runner()

        async def make() -> ClaimStore:
            return ClaimStore(self.settings)

        self.claims = self.loop.run(make())
        self.redis = redis.Redis.from_url(self.settings.store_url, decode_responses=True)

    def close(self) -> None:
        self.loop.run(self.claims.close())
        self.loop.close()
        self.jobs.close()
        self.redis.close()


@dataclass
class Fleet:
    """Workers, claims and pollers, in an empty store."""

    stores: Stores
    now_ms: int = 1_000_000_000
    workers: dict[str, Announced] = field(default_factory=dict)
    claims: list[Held] = field(default_factory=list)
    polls: dict[str, dict[Lane, Polls]] = field(default_factory=dict)
    runs: dict[str, list[Ran]] = field(default_factory=dict)
    """Of each activity, in the order in which they ended."""
    throttled: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.numbers = itertools.count(1)
        self.stores.redis.flushdb()
        self.move(0)

    @property
    def now_s(self) -> float:
        return self.now_ms / 1000

    def move(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)
        set_clock(self.stores.redis, self.stores.settings.root_key, self.now_ms)

    # Workers

    def renew(self, name: str, worker: Announced | None = None) -> None:
        """Renew the worker's lease, with another announcement if one is given."""
        worker = self.workers[name] = worker or self.workers[name]
        active = [c.job.claim_id for c in self.claims if name in (c.worker, c.still_runs_on)]
        held_back = [c.job.claim_id for c in self.claims if c.held_back_by == name]
        self.stores.jobs.renew_lease(
            name,
            number=next(self.numbers),
            slots=worker.slots,
            queues=worker.queues,
            ordinary=worker.ordinary,
            claim_ids=[*active, *held_back],
            active=active,
            held_back=held_back,
        )

    def leave(self, name: str) -> None:
        """The worker ends; what it ran is lost, what it held back waits again."""
        self.stores.jobs.end_lease(name)
        del self.workers[name]
        for claim in self.claims:
            if claim.held_back_by == name:
                claim.held_back_by = ""
            if claim.still_runs_on == name:
                claim.still_runs_on = ""

    # Claims

    def store(self, lanes: Sequence[Lane], *, poller: str = "") -> list[Held]:
        """Activity tasks come; by a fresh poll of the poller, if it has one."""
        stored = []
        for lane in lanes:
            token = f"token-{next(self.numbers)}"
            claim = Claim(claim_id_of(token), lane.activity, "{}")
            stored.append((claim, token, lane.queue))
            mine = self.polls.get(poller, {})
            if lane in mine:
                fresh, idle = mine[lane]
                mine[lane] = Polls(fresh - 1, idle) if fresh else Polls(0, max(0, idle - 1))

        async def store_all() -> None:
            await asyncio.gather(
                *(
                    self.stores.claims.store(
                        claim,
                        token=token,
                        queue=queue,
                        interval_s=10_000,
                        manual=False,
                        max_attempts=1,
                        poller=poller or "nobody",
                    )
                    for claim, token, queue in stored
                )
            )
            await self.stores.claims.mark_all_queued([claim.job for claim, _, _ in stored])

        self.stores.loop.run(store_all())
        held = [Held(claim.job, lane) for (claim, _, _), lane in zip(stored, lanes, strict=True)]
        self.claims += held
        return held

    def start(self, claim: Held, worker: str, *, retry: int = 0) -> None:
        run = f"run-{next(self.numbers)}"
        assert self.stores.jobs.start(claim.job, retry=retry, worker=worker, run=run) is Start.RUN
        claim.state, claim.worker, claim.run, claim.began_ms = "running", worker, run, self.now_ms
        claim.held_back_by = ""

    def hold_back(self, claim: Held, worker: str) -> None:
        """The worker holds the claim back for a ``rate_limit``, and says so."""
        claim.held_back_by = worker
        self.renew(worker)

    def stop(self, claim: Held) -> None:
        """A job whose claim is closed ends, and its worker says so."""
        worker, claim.still_runs_on = claim.still_runs_on, ""
        self.renew(worker)

    def has_run(self, claim: Held) -> None:
        runs = self.runs.setdefault(claim.lane.activity, [])
        runs.append(Ran(self.now_ms, self.now_ms - claim.began_ms))

    def settle(self, claim: Held) -> None:
        """The job ends; Step Functions has not taken its outcome yet."""
        outcome = Outcome(output="1")
        assert self.stores.jobs.settle(claim.job, outcome) is Settled.STORED
        if claim.state == "running":
            self.has_run(claim)
        claim.state, claim.worker, claim.held_back_by = "settled", "", ""

    def retry(self, claim: Held, delay_s: float) -> None:
        """The job asks to come again after the delay."""
        assert self.stores.jobs.release(claim.job, run=claim.run, retry=1, delay_s=delay_s)
        self.has_run(claim)
        claim.state, claim.worker, claim.due_ms = (
            "waiting",
            "",
            self.now_ms + round(delay_s * 1000),
        )

    def close(self, claims: Iterable[Held]) -> None:
        """Step Functions takes nothing more for these; a job that runs, runs on."""
        claims = list(claims)
        ids = [claim.job.claim_id for claim in claims]
        self.stores.loop.run(self.stores.claims.close_claims(ids, reason="TaskTimedOut"))
        for claim in claims:
            claim.still_runs_on, claim.worker = claim.worker, ""
            claim.state, claim.held_back_by = "closed", ""

    def throttle(self, place: str) -> None:
        self.stores.loop.run(self.stores.claims.hold_polls([place], 1_000))
        self.throttled.add(place)

    # Pollers

    def ask(self, poller: str, wishes: Sequence[Wish]) -> Grant:
        grant = self.stores.loop.run(self.stores.claims.grant_polls(poller, wishes))
        mine = self.polls[poller] = {}
        for wish, granted in zip(wishes, grant.polls, strict=True):
            polls = Polls(wish.fresh + granted, wish.idle)
            if sum(polls):
                mine[Lane(wish.activity, wish.queue)] = polls
        return grant

    def polls_become_idle(self) -> None:
        """Time passes, and no poll has found anything."""
        for mine in self.polls.values():
            for lane, polls in mine.items():
                mine[lane] = Polls(0, sum(polls))

    # What is true

    def ledger(self) -> Ledger:
        config = self.stores.settings
        ledger = Ledger(
            polls={poller: dict(lanes) for poller, lanes in self.polls.items()},
            throttled=frozenset(self.throttled),
            look_ahead=config.look_ahead,
            look_ahead_ms=round(config.look_ahead_s * 1000),
            look_ahead_most=config.look_ahead_most,
        )
        for name, worker in self.workers.items():
            runs = Counter(c.lane.activity for c in self.claims if c.worker == name)
            unwanted = sum(c.still_runs_on == name for c in self.claims)
            ledger.workers.append(
                Worker(worker.slots, worker.queues, worker.ordinary, unwanted, runs)
            )
        for claim in self.claims:
            activity = claim.lane.activity
            if claim.state == "running":
                age_ms = self.now_ms - claim.began_ms
                known_ms = ledger.running_for_ms.get(activity, 0)
                ledger.running_for_ms[activity] = max(age_ms, known_ms)
            elif claim.held_back_by:
                ledger.held_back[activity] += 1
            elif claim.state == "waiting" and claim.due_ms <= self.now_ms:
                ledger.waiting[claim.lane] += 1
        for activity, runs in self.runs.items():
            last = runs[-RUNS_REMEMBERED:]
            if self.now_ms - last[-1].ended_ms < FORGOTTEN_AFTER_MS:
                ledger.longest_ms[activity] = max(run.lasted_ms for run in last)
        return ledger
