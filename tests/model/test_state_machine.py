"""The scripts against a small model: any order of events, faults, lost answers, on a false clock.

Hypothesis plays pollers, workers, the broker, the beat process and Step Functions: it delivers
messages twice or never, kills workers, loses answers (the call is repeated), closes tokens behind
our back, and moves the clock. The model says what each script must answer; after every step the
invariants of the claims are checked in Valkey itself, and at the end everything must come to an
end by the ordinary means: sweeps, heartbeats, reports.

``docs/claim-states.md`` draws what is checked here.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import Counter
from dataclasses import dataclass, field
from unittest import mock

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from bridge.local.valkey import LocalValkey
from bridge.model import Claim, Job, Outcome, claim_id_of
from bridge.settings import Settings
from bridge.store import (
    ClaimStore,
    JobStore,
    LostJob,
    Recovery,
    Settled,
    Start,
    Wish,
    claims,
)
from tests.model.false_clock import on_a_false_clock, set_clock
from tests.model.ledger import FORGOTTEN_AFTER_MS, Grants, Lane, Ledger, Worker

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
    """User code that was let run, in a worker's process; it may have been fenced since."""

    job: Job
    retry: int
    worker: str
    run: str


@dataclass
class Announced:
    """A worker, as it announced itself last, and what the store still knows of it."""

    slots: int = 2
    queues: tuple[str, ...] = ("celery", "images")
    ordinary: int = 0
    held_back: frozenset[str] = frozenset()
    """What it named; another may have been faster."""
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


class Claims(RuleBasedStateMachine):
    """What may happen to claims."""

    deliveries = Bundle("deliveries")
    runs = Bundle("runs")

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
        """User code that has not ended, whatever became of its claim."""
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

    def teardown(self) -> None:
        try:
            self.everything_ends()
        finally:
            self.loop.run(self.claims.close())
            self.loop.close()
            self.jobs.close()
            self.redis.close()

    # What the model is driven by

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
            self.runs_on(claim)
        self.held_back.pop(claim.claim_id, None)
        claim.state, claim.outcome, claim.worker, claim.run = "settled", outcome, "", ""

    def close(self, claim: Expected) -> None:
        if claim.state == "running":
            self.runs_on(claim)
        self.held_back.pop(claim.claim_id, None)
        claim.state, claim.worker = "closed", ""

    def runs_on(self, claim: Expected) -> None:
        """Its job occupies the worker, though nobody wants its outcome any more."""
        worker = self.fleet[claim.worker]
        if worker.counts:
            worker.unwanted.add(claim.claim_id)

    def learn(self, claim: Expected) -> None:
        """A run of the activity has ended."""
        self.lasted[claim.activity].append(self.now_ms - claim.begun_ms)
        self.ended_ms[claim.activity] = self.now_ms

    def uncount(self, name: str) -> None:
        """The store has seen that the worker's lease has ended."""
        worker = self.fleet.get(name, Announced())
        if worker.counts:
            worker.counts = False
            for claim_id in worker.held_back:
                if self.held_back.get(claim_id) == name:
                    del self.held_back[claim_id]

    def forget(self, name: str) -> None:
        self.uncount(name)
        self.fleet[name] = Announced()

    @initialize()
    def workers_join(self) -> None:
        for worker in WORKERS:
            self.renew(worker)

    # Time and workers

    @rule(seconds=st.sampled_from([0.5, 2.0, EVERY_S, LEASE_S + 1, PATIENCE_S + 1]))
    def time_passes(self, seconds: float) -> None:
        self.move(seconds)

    @rule(worker=st.sampled_from(WORKERS))
    def a_worker_renews(self, worker: str) -> None:
        if worker in self.dead:
            return
        self.renew(worker)

    @rule(
        worker=st.sampled_from(WORKERS),
        slots=st.sampled_from([0, 1, 2, 5]),
        queues=st.sampled_from([("celery",), ("images",), ("celery", "images")]),
        ordinary=st.sampled_from([0, 0, 1, 3]),
        data=st.data(),
    )
    def a_worker_announces_anew(self, worker, slots, queues, ordinary, data):
        """It drains or grows, another queue is consumed, a rate limit is reached."""
        if worker in self.dead:
            return
        waiting = sorted(c.claim_id for c in self.model.values() if c.state in WAITS)
        holds = data.draw(st.sets(st.sampled_from(waiting), max_size=2)) if waiting else set()
        announced = self.fleet[worker]
        announced.slots, announced.queues, announced.ordinary = slots, queues, ordinary
        self.renew(worker, frozenset(holds))

    def renew(self, name: str, holds: frozenset[str] | None = None) -> None:
        """It still has all that it runs; jobs that it lost sight of are tested elsewhere."""
        worker = self.fleet.setdefault(name, Announced())
        holds = worker.held_back if holds is None else holds
        here = {claim.claim_id for claim in self.model.values() if claim.worker == name}
        active = frozenset(run.job.claim_id for run in self.live if run.worker == name)
        renewal = self.jobs.renew_lease(
            name,
            number=next(NUMBERS),
            slots=worker.slots,
            queues=worker.queues,
            ordinary=worker.ordinary,
            claim_ids=here | active | holds,
            active=active,
            held_back=holds,
        )
        assert renewal.renewed == self.has_lease(name)
        assert renewal.forgotten == []
        ended = {
            id_
            for id_ in active
            if self.model[id_].worker != name
            and self.model[id_].state in ("closed", "settled", "running")
        }
        settled = {id_ for id_ in ended if self.model[id_].state == "settled"}
        assert renewal.unwanted == ended - settled
        worker.unwanted = {id_ for id_ in ended if id_ in worker.active | worker.unwanted}
        for id_ in holds:
            if self.model[id_].state in WAITS and not self.in_countdown(id_):
                self.held_back.setdefault(id_, name)
        for id_ in worker.held_back - holds:
            if self.held_back.get(id_) == name:
                del self.held_back[id_]
        worker.active, worker.held_back, worker.counts = active, holds, True
        self.leases[name] = self.now + LEASE_S

    def in_countdown(self, claim_id: str) -> bool:
        """As the store has it: until the first grant after its time."""
        return self.redis.zscore(f"{ROOT}:countdown", claim_id) is not None

    @rule(worker=st.sampled_from(WORKERS))
    def a_worker_dies(self, worker: str) -> None:
        """Kill -9, with all that it runs: it is never heard of again."""
        if not self.is_last(worker):
            self.dead.add(worker)

    def is_last(self, worker: str) -> bool:
        """One stays, or nothing more would happen."""
        return {worker, *self.dead} == set(WORKERS)

    @rule(worker=st.sampled_from(WORKERS))
    def a_worker_hands_back(self, worker: str) -> None:
        """A soft shutdown is over: what it ran is no longer running."""
        if worker in self.dead or self.is_last(worker):
            return
        held = self.jobs.end_lease(worker)
        assert held == sum(claim.worker == worker for claim in self.model.values())
        self.dead.add(worker)
        self.leases[worker] = self.now - 1
        self.uncount(worker)
        if not held:
            self.forget(worker)

    # The poller

    @rule(
        target=deliveries,
        activity=st.sampled_from(sorted(ACTIVITIES)),
        manual=st.booleans(),
        published=st.sampled_from(["no", "yes", "twice", "unnoted"]),
        lost_answer=st.booleans(),
    )
    def an_activity_task_is_claimed(self, activity, manual, published, lost_answer):
        self.count += 1
        token = f"token-{self.count}"
        claim = Claim(claim_id_of(token), activity, "{}")
        attempts = ACTIVITIES[activity]

        async def store() -> bool:
            return await self.claims.store(
                claim,
                token=token,
                queue=QUEUE[activity],
                interval_s=EVERY_S,
                manual=manual,
                max_attempts=attempts,
                poller="p1",
            )

        assert self.ask(store, lost_answer=lost_answer) is not lost_answer
        expected = self.model[claim.claim_id] = Expected(
            claim.claim_id, activity, attempts, manual=manual, patience_until=self.now + PATIENCE_S
        )
        if published == "no":  # the poller died
            return multiple()
        delivery = Delivery(claim.job, 0)
        if published == "unnoted":
            return delivery
        assert self.ask(lambda: self.claims.mark_queued(claim.job))
        expected.state = "queued"
        return multiple(delivery, delivery) if published == "twice" else delivery

    @rule(wants=st.tuples(st.integers(0, 5), st.integers(0, 5)))
    def polls_are_granted(self, wants: tuple[int, int]) -> None:
        """Invariant 1: what the ledger's rules say of free slots and waiting room."""
        for worker in self.fleet:
            if not self.has_lease(worker):
                self.uncount(worker)
        wishes = [Wish(*lane, 0, want) for lane, want in zip(LANES, wants, strict=True)]
        ledger = self.ledger()
        expected = Grants(ledger, "p1", wishes).answer()
        grant = self.ask(lambda: self.claims.grant_polls("p1", wishes))
        assert (grant.polls, grant.refused) == (expected.polls, expected.refused), ledger
        assert grant.slots == sum(worker.slots for worker in ledger.workers)

    def ledger(self) -> Ledger:
        """What is true of the fleet."""
        ledger = Ledger(look_ahead=LOOK_AHEAD)
        for name, worker in self.fleet.items():
            if self.has_lease(name):
                runs = Counter(c.activity for c in self.model.values() if c.worker == name)
                ledger.workers.append(
                    Worker(
                        worker.slots,
                        frozenset(worker.queues),
                        worker.ordinary,
                        len(worker.unwanted),
                        runs,
                    )
                )
        for claim in self.model.values():
            activity = claim.activity
            if claim.state == "running":
                for_ms = max(self.now_ms - claim.begun_ms, ledger.running_for_ms.get(activity, 0))
                ledger.running_for_ms[activity] = for_ms
            elif claim.claim_id in self.held_back:
                ledger.held_back[activity] += 1
            elif claim.state in WAITS and claim.due <= self.now:
                ledger.waiting[Lane(activity, QUEUE[activity])] += 1
        for activity, ended_ms in self.ended_ms.items():
            if self.now_ms - ended_ms < FORGOTTEN_AFTER_MS:
                ledger.longest_ms[activity] = max(self.lasted[activity][-RUNS_REMEMBERED:])
        return ledger

    # The broker

    @rule(delivery=consumes(deliveries))
    def a_message_is_lost(self, delivery: Delivery) -> None:
        """BRPOP took it, and its worker died."""

    @rule(target=deliveries, delivery=deliveries)
    def a_message_is_doubled(self, delivery: Delivery) -> Delivery:
        """A visibility timeout has passed."""
        return delivery

    # The worker

    @rule(
        target=runs,
        delivery=consumes(deliveries),
        worker=st.sampled_from(WORKERS),
        lost_answer=st.booleans(),
    )
    def a_delivery_asks_to_run(self, delivery, worker, lost_answer):
        if worker in self.dead:
            return multiple()  # lost with it
        claim = self.model[delivery.job.claim_id]
        self.count += 1
        run = f"run-{self.count}"

        def start() -> Start:
            return self.jobs.start(delivery.job, retry=delivery.retry, worker=worker, run=run)

        answer = start()
        if claim.state == "closed":
            assert answer is Start.CLOSED
        elif claim.attempt != delivery.job.attempt:
            assert answer is Start.STALE
        elif claim.state == "settled":
            assert answer is Start.SETTLED
        elif delivery.retry < claim.retry:
            assert answer is Start.STALE
        elif claim.state == "running" and delivery.retry == claim.retry:
            assert answer is Start.RUNNING
        elif not self.has_lease(worker):
            assert answer is Start.UNLEASED
        else:
            assert answer is Start.RUN
            claim.state, claim.worker, claim.run = "running", worker, run
            claim.retry, claim.alive_until = delivery.retry, self.now + 2 * EVERY_S
            claim.begun_ms, claim.due = self.now_ms, 0.0
            self.held_back.pop(claim.claim_id, None)
            if lost_answer:
                assert start() is Start.RUN
            self.live.append(Run(delivery.job, delivery.retry, worker, run))
            return self.live[-1]
        return multiple()

    @rule(
        target=runs,
        activity=st.sampled_from(sorted(ACTIVITIES)),
        worker=st.sampled_from(WORKERS),
        manual=st.booleans(),
    )
    def a_claim_begins_at_once(self, activity, worker, manual):
        """As most do."""
        delivery = self.an_activity_task_is_claimed(activity, manual, "yes", lost_answer=False)
        return self.a_delivery_asks_to_run(delivery, worker, lost_answer=False)

    @rule(run=consumes(runs), ok=st.booleans(), lost_answer=st.booleans())
    def a_run_ends(self, run: Run, ok: bool, lost_answer: bool) -> None:
        if run.worker in self.dead:
            return
        self.live.remove(run)
        claim = self.model[run.job.claim_id]
        outcome = Outcome(output=f'"{run.run}"') if ok else Outcome.failure("Boom", run.run)
        answer = self.jobs.settle(run.job, outcome)
        if claim.state == "closed":
            assert answer is Settled.CLOSED
        elif claim.state == "settled":
            assert answer is Settled.SETTLED
        elif not ok and claim.attempt != run.job.attempt:
            assert answer is Settled.STALE
        else:
            assert answer is Settled.STORED
            older = claim.attempt != run.job.attempt
            if claim.state == "running" and not older:
                self.learn(claim)
            self.settle(claim, outcome, runs_on=claim.state == "running" and older)
            if lost_answer:
                assert self.jobs.settle(run.job, outcome) is Settled.SETTLED

    @rule(
        target=deliveries,
        run=consumes(runs),
        delay_s=st.sampled_from([0.0, 20.0]),
        first=st.booleans(),
        lost_answer=st.booleans(),
    )
    def a_run_is_retried(self, run, delay_s, first, lost_answer):
        """self.retry; Celery publishes the retry before the run that asks for it has ended."""
        if run.worker in self.dead:
            return multiple()
        claim = self.model[run.job.claim_id]
        holds = claim.state == "running" and claim.run == run.run
        self.live.remove(run)

        def release() -> bool:
            return self.jobs.release(run.job, run=run.run, retry=run.retry + 1, delay_s=delay_s)

        assert release() == holds
        if holds:
            self.learn(claim)
            claim.state, claim.worker, claim.run, claim.retry = "queued", "", "", run.retry + 1
            claim.due = self.now + delay_s
            claim.patience_until = self.now + delay_s + PATIENCE_S
            if lost_answer:
                assert release() is False
        return Delivery(run.job, run.retry + 1)

    @rule(run=runs)
    def a_run_says_that_it_is_alive(self, run: Run) -> None:
        if run.worker in self.dead:
            return
        claim = self.model[run.job.claim_id]
        holds = claim.state == "running" and claim.run == run.run
        assert self.jobs.keep_alive(run.job, run=run.run) == holds
        assert (self.jobs.cancel_reason(run.job, run=run.run) == "") == holds
        if holds:
            claim.alive_until = self.now + 2 * EVERY_S

    # The beat process, or the poller in its stead

    @rule(target=deliveries, published=st.booleans(), lost_answer=st.booleans())
    def a_sweep(self, published: bool, lost_answer: bool):
        found = self.find_lost()
        for job, worker, _ in found:
            claim = self.model[job.claim_id]
            self.lose(claim, job, worker)
            if lost_answer:
                assert self.jobs.recover(job, worker=worker, outcome=LOST) is Recovery.MOVED
        return multiple(*self.publish_unstarted(published=published))

    def find_lost(self) -> list[LostJob]:
        """Nobody is judged for half a lease after nobody has looked for longer than that."""
        if self.now - self.looked_at > LEASE_S / 2:
            self.amnesty_until = self.now + LEASE_S / 2
        self.looked_at = self.now
        found = self.ask(lambda: self.claims.find_lost(100))
        expected = {
            (claim.job, claim.worker, claim.activity)
            for claim in self.model.values()
            if claim.state == "running" and not self.has_lease(claim.worker)
        }
        amnesty = self.now < self.amnesty_until
        assert set(found) == (set() if amnesty else expected)
        for worker in self.fleet:
            runs = any(claim.worker == worker for claim in self.model.values())
            if not amnesty and not self.has_lease(worker) and not runs:
                self.forget(worker)
        return found

    def lose(self, claim: Expected, job: Job, worker: str) -> None:
        answer = self.jobs.recover(job, worker=worker, outcome=LOST)
        if claim.attempt < claim.attempts:
            assert answer is Recovery.AGAIN
            claim.state, claim.worker, claim.run, claim.retry = "claimed", "", "", 0
            claim.attempt += 1
            claim.patience_until = self.now + PATIENCE_S
        else:
            assert answer is Recovery.FAILED
            self.settle(claim, LOST)

    def publish_unstarted(self, *, published: bool) -> list[Delivery]:
        deliveries = []
        for claim, retry in self.ask(lambda: self.claims.take_unstarted(100, hold_s=HOLD_S)):
            expected = self.model[claim.claim_id]
            assert expected.state in ("claimed", "queued")
            assert (claim.job, retry) == (expected.job, expected.retry)
            if expected.state == "queued":
                queue = QUEUE[claim.activity]
                assert any(
                    self.has_lease(name) and worker.slots and queue in worker.queues
                    for name, worker in self.fleet.items()
                )
            if published:
                deliveries.append(Delivery(claim.job, retry))
                noted = self.ask(lambda job=claim.job: self.claims.mark_queued(job))
                assert noted == (expected.state == "claimed")
                expected.state = "queued"
        return deliveries

    @rule()
    def a_pass_of_heartbeats(self) -> None:
        """Invariant 4: a heartbeat speaks for a living runner; who has none is given up."""
        due = self.ask(lambda: self.claims.take_heartbeats(100))
        for job, activity in due.given_up:
            claim = self.model[job.claim_id]
            assert (claim.job, claim.activity) == (job, activity)
            if claim.state == "running":
                assert claim.manual
                assert self.now > claim.alive_until + 3 * EVERY_S
                self.settle(claim, SILENT, runs_on=True)
            else:
                assert self.now > claim.patience_until
                self.settle(claim, NOT_STARTED)
        assert len({beat.claim_id for beat in due.heartbeats}) == len(due.heartbeats)
        for beat in due.heartbeats:
            claim = self.model[beat.claim_id]
            assert self.speaks(claim), claim
            if claim.closed_at_aws:
                self.hear_that_it_is_closed(claim)

    def speaks(self, claim: Expected) -> bool:
        if claim.state in ("claimed", "queued"):
            return self.now <= claim.patience_until
        if claim.state == "running":
            lives = not claim.manual or self.now <= claim.alive_until
            return self.has_lease(claim.worker) and lives
        return claim.state == "settled"

    def hear_that_it_is_closed(self, claim: Expected) -> None:
        closed = self.ask(lambda: self.claims.close_claims([claim.claim_id], reason="TaskTimedOut"))
        unfinished = [] if claim.state == "settled" else [(claim.job, claim.activity)]
        assert closed.unfinished == unfinished
        assert len(closed.ended) == (claim.state == "settled")
        self.close(claim)

    # The reporter, and Step Functions

    @rule(run=runs)
    def a_running_job_is_told_that_its_token_is_closed(self, run: Run) -> None:
        """Its heartbeat hears of it; the user's code runs on until it looks, or ends."""
        claim = self.model[run.job.claim_id]
        if claim.state != "closed":
            claim.closed_at_aws = True
            self.hear_that_it_is_closed(claim)

    @rule(dies=st.booleans(), lost_answer=st.booleans())
    def outcomes_are_reported(self, dies: bool, lost_answer: bool) -> None:
        due = self.ask(lambda: self.claims.take_outbox(100, hold_s=HOLD_S))
        for report in due.reports:
            claim = self.model[report.claim_id]
            assert claim.state == "settled"
            assert report.outcome == claim.outcome, "the first outcome is the one that counts"
            if not claim.closed_at_aws:
                claim.reported.append(report.outcome)
                claim.closed_at_aws = True
            if dies:  # between report and note: sent again, and told that it is closed
                continue
            closed = self.ask(
                lambda id_=report.claim_id: self.claims.close_claims([id_], reason="reported"),
                lost_answer=lost_answer,
            )
            assert closed.unfinished == []
            named = [ended.activity for ended in closed.ended]
            assert named == ([] if lost_answer else [claim.activity])
            self.close(claim)

    @rule(data=st.data())
    def step_functions_closes_a_token(self, data) -> None:
        """StopExecution, or a time-out: nobody tells us."""
        waiting = sorted(c.claim_id for c in self.model.values() if not c.closed_at_aws)
        if waiting:
            self.model[data.draw(st.sampled_from(waiting))].closed_at_aws = True

    # What must hold after every step

    @invariant()
    def every_claim_stands_where_it_is_found_again(self) -> None:
        """Invariants 2, 4 and 5, in Valkey itself; and no counter drifts."""
        tally, load, in_flight = Counter(), Counter(), Counter()
        unstarted, outbox, beats = (
            set(self.redis.zrange(f"{ROOT}:{name}", 0, -1))
            for name in ("unstarted", "outbox", "heartbeats")
        )
        runs = {worker: self.redis.smembers(f"{ROOT}:runs:{worker}") for worker in WORKERS}
        alive = set()
        for claim in self.model.values():
            found = self.redis.hgetall(f"{ROOT}:claim:{claim.claim_id}")
            assert found.get("state", "closed") == claim.state
            holders = {worker for worker, held in runs.items() if claim.claim_id in held}
            assert holders == ({claim.worker} if claim.state == "running" else set())
            task, outcome = (
                self.redis.get(f"{ROOT}:{part}:{claim.claim_id}") for part in ("task", "outcome")
            )
            if claim.state == "closed":
                assert task is outcome is None, "a secret outlives its claim"
                continue
            alive.add(claim.claim_id)
            assert int(found["attempt"]) == claim.attempt <= claim.attempts
            assert int(found.get("retry", 0)) == claim.retry
            token, _, text = task.partition("\n")
            assert (claim_id_of(token), text) == (claim.claim_id, "{}")
            assert outcome == (claim.outcome.dump() if claim.state == "settled" else None)
            assert (claim.claim_id in unstarted) == (claim.state in ("claimed", "queued"))
            assert (claim.claim_id in outbox) == (claim.state == "settled")
            assert found.get("run", "") == claim.run
            tally[f"{claim.activity}|{claim.state.replace('claimed', 'queued')}"] += 1
            load[QUEUE[claim.activity]] += 1
            in_flight[claim.activity] += 1
        assert beats == alive
        assert unstarted | outbox <= alive
        assert {k: int(n) for k, n in self.redis.hgetall(f"{ROOT}:tally").items()} == tally
        assert {k: int(n) for k, n in self.redis.hgetall(f"{ROOT}:load").items()} == load
        for activity in ACTIVITIES:
            assert self.redis.zcard(f"{ROOT}:claims:{activity}") == in_flight[activity]

    @invariant()
    def the_sums_of_the_ledger_are_those_of_its_claims_and_workers(self) -> None:
        """They are kept change by change; here they are counted anew."""
        in_countdown, oldest = self.zset("countdown"), self.zset("oldest")
        waiting, aside, running = Counter(), Counter(), Counter()
        begun: dict[str, dict[str, int]] = {activity: {} for activity in ACTIVITIES}
        for claim in self.model.values():
            if claim.state in WAITS:
                if claim.claim_id in in_countdown:
                    assert in_countdown.pop(claim.claim_id) == round(claim.due * 1000)
                    aside[f"{claim.activity}|countdown"] += 1
                elif claim.claim_id in self.held_back:
                    aside[f"{claim.activity}|held_back"] += 1
                else:
                    assert claim.due <= self.now
                    waiting[f"{claim.activity}|{QUEUE[claim.activity]}"] += 1
            elif claim.state == "running":
                running[f"{claim.activity}|{self.fleet[claim.worker].class_name}"] += 1
                begun[claim.activity][claim.claim_id] = claim.begun_ms
        assert not in_countdown
        assert self.counts("waiting") == waiting
        assert self.counts("aside") == aside
        assert self.counts("running") == running
        assert self.redis.hgetall(f"{ROOT}:held_back") == self.held_back
        for activity in ACTIVITIES:
            assert self.zset(f"begun:{activity}") == begun[activity]
            if begun[activity]:  # a run that has ended may stand there until a grant looks
                assert oldest[activity] <= min(begun[activity].values())
            self.check_what_was_learnt(activity)
        self.check_offers()

    def check_what_was_learnt(self, activity: str) -> None:
        known = self.redis.hget(f"{ROOT}:lasted", activity)
        last = self.lasted[activity][: -RUNS_REMEMBERED - 1 : -1]
        expected = [max(last), self.ended_ms[activity], *last] if last else []
        assert [int(part) for part in (known or "").split()] == expected

    def check_offers(self) -> None:
        offers, classes = {}, Counter()
        for name, worker in self.fleet.items():
            assert self.redis.smembers(f"{ROOT}:unwanted:{name}") == worker.unwanted
            if worker.counts:
                runs = sum(claim.worker == name for claim in self.model.values())
                used, called = min(worker.offered, runs), worker.class_name
                row = (worker.slots, worker.ordinary, worker.offered, used, called)
                offers[name] = "|".join(map(str, row))
                if called:
                    amounts = {"S": worker.slots, "E": worker.offered, "U": used, "N": 1}
                    classes.update({f"{kind}|{called}": n for kind, n in amounts.items()})
        assert self.redis.hgetall(f"{ROOT}:offers") == offers
        assert +self.counts("classes") == +classes

    def counts(self, name: str) -> Counter[str]:
        return Counter({k: int(n) for k, n in self.redis.hgetall(f"{ROOT}:{name}").items()})

    def zset(self, name: str) -> dict[str, int]:
        return {k: int(n) for k, n in self.redis.zrange(f"{ROOT}:{name}", 0, -1, withscores=True)}

    @invariant()
    def no_claim_has_two_outcomes(self) -> None:
        assert all(len(claim.reported) <= 1 for claim in self.model.values())

    # The end

    def everything_ends(self) -> None:
        """With a living worker and nobody's help but the sweeps', every claim is closed."""
        self.leases["w9"] = 0.0
        self.fleet["w9"] = Announced(100)
        for _ in range(60):
            if all(claim.state == "closed" for claim in self.model.values()):
                break
            self.move(HOLD_S)
            self.fleet["w9"].slots = 100
            self.renew("w9")
            self.a_pass_of_heartbeats()
            self.find_lost()
            self.move(LEASE_S / 2)
            for job, worker, _ in self.find_lost():
                self.lose(self.model[job.claim_id], job, worker)
            for delivery in self.publish_unstarted(published=True):
                claim = self.model[delivery.job.claim_id]
                run = f"last-{claim.claim_id}"
                answer = self.jobs.start(delivery.job, retry=delivery.retry, worker="w9", run=run)
                if answer is Start.RUN:
                    claim.state, claim.worker, claim.begun_ms = "running", "w9", self.now_ms
                    self.held_back.pop(claim.claim_id, None)
                    self.learn(claim)
                    outcome = Outcome(output="1")
                    assert self.jobs.settle(delivery.job, outcome) is Settled.STORED
                    self.settle(claim, outcome)
            self.outcomes_are_reported(dies=False, lost_answer=False)
            self.every_claim_stands_where_it_is_found_again()
            self.the_sums_of_the_ledger_are_those_of_its_claims_and_workers()
        stuck = [claim for claim in self.model.values() if claim.state != "closed"]
        assert not stuck, stuck
        for _ in range(3):  # the last workers end, and recovery sees it
            self.move(LEASE_S + 1)
            self.find_lost()
            self.move(LEASE_S / 2)
            self.find_lost()
        left = {key.split(":")[1] for key in self.redis.keys(f"{ROOT}:*")}
        kept = "claim clock ended lasted oldest passes pollers polls server wake"
        assert left <= set(kept.split())


@pytest.fixture(scope="module")
def own_valkey():
    with LocalValkey() as server:
        yield server


@pytest.mark.timeout(600)
def test_any_order_of_events(own_valkey):
    Claims.valkey = own_valkey
    examples = int(os.environ.get("MODEL_EXAMPLES", "60"))
    with mock.patch("bridge.store.scripts.script", on_a_false_clock):
        run_state_machine_as_test(
            Claims,
            settings=settings(
                max_examples=examples,
                stateful_step_count=40,
                deadline=None,
                derandomize=False,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
                phases=set(Phase) - {Phase.explain},
            ),
        )
