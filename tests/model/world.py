"""The model of the store: what it knows of claims and workers, and how their states change."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass, field

import redis
from hypothesis.stateful import Bundle, RuleBasedStateMachine

from bridge.local.valkey import LocalValkey
from bridge.model import Job, Outcome
from bridge.settings import Settings
from bridge.store import ClaimStore, JobStore, claims
from tests.model.false_clock import set_clock
from tests.model.ledger import Lane

NUMBERS = itertools.count(1)
ROOT = "{model}"
LEASE_S, TICK_S, PATIENCE_S, EVERY_S, HOLD_S = 10.0, 1.0, 60.0, 5.0, 30.0
LOOK_AHEAD, RUNS_REMEMBERED = 1.0, 20
WORKERS = ("w1", "w2", "w3")
ACTIVITIES = {"fail": 1, "retry": 2}
"""Activity → attempts that its claims may have."""
LANES = (Lane("fail", "celery"), Lane("retry", "images"))
QUEUE = dict(LANES)
LOST = Outcome.failure("Bridge.WorkerLost", "the lease ended")
WAITS = ("claimed", "queued")
NOT_STARTED, SILENT = claims._not_started(PATIENCE_S), claims._HEARTBEAT_LOST

deliveries = Bundle("deliveries")
runs = Bundle("runs")


@dataclass
class Expected:
    """What the model knows of a claim."""

    claim_id: str
    activity: str
    attempts: int
    state: str = "claimed"
    attempt: int = 1
    retry: int = 0
    worker: str = ""
    run: str = ""
    manual: bool = False
    begun_ms: int = 0
    due: float = 0.0
    """When its retry is due."""
    alive_until: float = 0.0
    patience_until: float = 0.0
    outcome: Outcome | None = None
    closed_at_aws: bool = False
    reported: list[Outcome] = field(default_factory=list)

    @property
    def job(self) -> Job:
        return Job(self.claim_id, self.attempt)


@dataclass(frozen=True)
class Delivery:
    """A message in the broker."""

    job: Job
    retry: int


@dataclass(frozen=True)
class Run:
    """User code that runs in a worker's process; its claim may run elsewhere since."""

    job: Job
    retry: int
    worker: str
    run: str


@dataclass
class Announced:
    """A worker as it last announced itself, and what the store still knows of it."""

    slots: int = 2
    queues: tuple[str, ...] = ("celery", "images")
    ordinary: int = 0
    held_back: frozenset[str] = frozenset()
    """The claims that it named; another worker may hold them back already."""
    active: frozenset[str] = frozenset()
    unwanted: set[str] = field(default_factory=set)
    counts: bool = False
    """Whether it is in the sums of the ledger."""

    @property
    def offered(self) -> int:
        return max(0, self.slots - self.ordinary - len(self.unwanted)) if self.slots else 0

    @property
    def class_name(self) -> str:
        return "\n".join(sorted(self.queues)) if self.slots and self.counts else ""


class World(RuleBasedStateMachine):
    """The store, and the model of what it should hold."""

    valkey: LocalValkey

    def __init__(self) -> None:
        super().__init__()
        config = Settings(
            store_url=self.valkey.url,
            store_prefix="model",
            lease_s=LEASE_S,
            tick_s=TICK_S,
            patience_s=PATIENCE_S,
            heartbeat_s=EVERY_S,
            look_ahead=LOOK_AHEAD,
        )
        self.loop = asyncio.Runner()
        self.jobs = JobStore(config)
        self.claims = self.loop.run(self._claims(config))
        self.redis = redis.Redis.from_url(self.valkey.url, decode_responses=True)
        self.redis.flushdb()
        self.model: dict[str, Expected] = {}
        self.leases: dict[str, float] = {}
        self.fleet: dict[str, Announced] = {}
        self.live: list[Run] = []
        """User code that has not ended, even if its claim has."""
        self.held_back: dict[str, str] = {}
        """Claim → worker that holds it back."""
        self.lasted: dict[str, list[int]] = {activity: [] for activity in ACTIVITIES}
        self.ended_ms: dict[str, int] = {}
        self.dead: set[str] = set()
        self.now = 1_000_000.0
        self.count = 0
        self.looked_at, self.amnesty_until = float("inf"), 0.0
        self.move(0)

    @staticmethod
    async def _claims(config: Settings) -> ClaimStore:
        return ClaimStore(config)

    def move(self, seconds: float) -> None:
        self.now += seconds
        set_clock(self.redis, ROOT, self.now_ms)

    @property
    def now_ms(self) -> int:
        return round(self.now * 1000)

    def ask(self, coroutine_of, *, lost_answer: bool = False):
        """Call the store; when the answer is lost, redis-py calls again."""
        answer = self.loop.run(coroutine_of())
        return self.loop.run(coroutine_of()) if lost_answer else answer

    def has_lease(self, worker: str) -> bool:
        return self.leases.get(worker, 0) >= self.now

    def settle(self, claim: Expected, outcome: Outcome, *, runs_on: bool = False) -> None:
        if runs_on:
            self.mark_unwanted(claim)
        self.held_back.pop(claim.claim_id, None)
        claim.state, claim.outcome, claim.worker, claim.run = "settled", outcome, "", ""

    def close(self, claim: Expected) -> None:
        if claim.state == "running":
            self.mark_unwanted(claim)
        self.held_back.pop(claim.claim_id, None)
        claim.state, claim.worker = "closed", ""

    def mark_unwanted(self, claim: Expected) -> None:
        """Its job still occupies the worker, though its outcome is not wanted any more."""
        worker = self.fleet[claim.worker]
        if worker.counts:
            worker.unwanted.add(claim.claim_id)

    def learn(self, claim: Expected) -> None:
        """A run of the activity has ended."""
        self.lasted[claim.activity].append(self.now_ms - claim.begun_ms)
        self.ended_ms[claim.activity] = self.now_ms

    def leave_the_sums(self, name: str) -> None:
        """The store has seen that the worker's lease has ended."""
        worker = self.fleet.get(name, Announced())
        if worker.counts:
            worker.counts = False
            for claim_id in worker.held_back:
                if self.held_back.get(claim_id) == name:
                    del self.held_back[claim_id]

    def forget(self, name: str) -> None:
        self.leave_the_sums(name)
        self.fleet[name] = Announced()

    def note_that_it_is_closed(self, claim: Expected) -> None:
        closed = self.ask(lambda: self.claims.close_claims([claim.claim_id], reason="TaskTimedOut"))
        unfinished = [] if claim.state == "settled" else [(claim.job, claim.activity)]
        assert closed.unfinished == unfinished
        assert len(closed.ended) == (claim.state == "settled")
        self.close(claim)

    def counts(self, name: str) -> Counter[str]:
        return Counter({k: int(n) for k, n in self.redis.hgetall(f"{ROOT}:{name}").items()})

    def zset(self, name: str) -> dict[str, int]:
        return {k: int(n) for k, n in self.redis.zrange(f"{ROOT}:{name}", 0, -1, withscores=True)}

    def in_countdown(self, claim_id: str) -> bool:
        """As the store has it: until the first grant after its time."""
        return self.redis.zscore(f"{ROOT}:countdown", claim_id) is not None
