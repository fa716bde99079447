"""The scripts against a small model: any order of events, faults, lost answers, on a false clock.

Hypothesis plays pollers, workers, the broker, the beat process and Step Functions: it delivers
messages twice or never, kills workers, loses answers (the call is repeated), closes tokens behind
our back, and moves the clock. The model says what each script must answer; after every step the
invariants of the claims are checked in Valkey itself, and at the end everything must come to an
end by the ordinary means: sweeps, heartbeats, reports.

``docs/state_machine.md`` draws what is checked here.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
from collections import Counter
from dataclasses import dataclass, field
from unittest import mock

import pytest
import redis
from hypothesis import HealthCheck, assume, settings
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
    Lost,
    LostJob,
    Settled,
    Start,
    Wish,
    claims,
    scripts,
)

NUMBERS = itertools.count(1)
ROOT = "{model}"
LEASE_S, TICK_S, PATIENCE_S, EVERY_S, HOLD_S = 10.0, 1.0, 60.0, 5.0, 30.0
SLOTS, LOOK_AHEAD = 2, 1.0
WORKERS = ("w1", "w2")
ACTIVITIES = {"fail": 1, "retry": 2}
"""Activity → attempts that its claims may have."""
LOST = Outcome.failure("Bridge.WorkerLost", "the lease ended")
NOT_STARTED, SILENT = claims._not_started(PATIENCE_S), claims._HEARTBEAT_LOST

REAL_CLOCK = """  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
"""
FALSE_CLOCK = "  return tonumber(redis.call('GET', key('clock')))\n"


REAL_SCRIPT = scripts.script


def on_a_false_clock(name: str) -> scripts.Script:
    """The script with its one clock replaced by a key that the test moves."""
    text = REAL_SCRIPT(name).text
    assert text.count(REAL_CLOCK) == 1, "the clock stands in one place"
    assert text.count("'TIME'") == 1
    text = text.replace(REAL_CLOCK, FALSE_CLOCK)
    return scripts.Script(text, hashlib.sha1(text.encode()).hexdigest())


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


class Claims(RuleBasedStateMachine):
    """What may happen to claims."""

    deliveries = Bundle("deliveries")
    runs = Bundle("runs")

    valkey: LocalValkey

    def __init__(self) -> None:
        super().__init__()
        config = Settings(
            store_url=self.valkey.url, store_prefix="model", lease_s=LEASE_S, tick_s=TICK_S,
            patience_s=PATIENCE_S, heartbeat_s=EVERY_S, look_ahead=LOOK_AHEAD,
            look_ahead_s=0)  # fmt: skip
        self.loop = asyncio.Runner()
        self.jobs = JobStore(config)
        self.claims = self.loop.run(self._claims(config))
        self.redis = redis.Redis.from_url(self.valkey.url, decode_responses=True)
        self.redis.flushdb()
        self.model: dict[str, Expected] = {}
        self.leases: dict[str, float] = {}
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
        self.redis.set(f"{ROOT}:clock", round(self.now * 1000))

    def ask(self, coroutine_of, *, lost_answer: bool = False):
        """Call the store; when the answer is lost, redis-py calls again."""
        answer = self.loop.run(coroutine_of())
        return self.loop.run(coroutine_of()) if lost_answer else answer

    def has_lease(self, worker: str) -> bool:
        return self.leases.get(worker, 0) >= self.now

    def settle(self, claim: Expected, outcome: Outcome) -> None:
        claim.state, claim.outcome, claim.worker, claim.run = "settled", outcome, "", ""

    def close(self, claim: Expected) -> None:
        claim.state = "closed"

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
        assume(worker not in self.dead)
        self.renew(worker)

    def renew(self, worker: str) -> None:
        """It still has all that it runs; jobs that it lost sight of are tested elsewhere."""
        here = [claim.claim_id for claim in self.model.values() if claim.worker == worker]
        renewal = self.jobs.renew_lease(
            worker, number=next(NUMBERS), slots=SLOTS, queues=["celery"], claim_ids=here
        )
        assert renewal.renewed == self.has_lease(worker)
        assert renewal.forgotten == []
        self.leases[worker] = self.now + LEASE_S

    @rule(worker=st.sampled_from(WORKERS))
    def a_worker_dies(self, worker: str) -> None:
        """Kill -9, with all that it runs: it is never heard of again."""
        self.dead.add(worker)

    @rule(worker=st.sampled_from(WORKERS))
    def a_worker_hands_back(self, worker: str) -> None:
        """A soft shutdown is over: what it ran is no longer running."""
        assume(worker not in self.dead)
        held = self.jobs.leave(worker)
        assert held == sum(claim.worker == worker for claim in self.model.values())
        self.dead.add(worker)
        self.leases[worker] = self.now - 1

    # The poller

    @rule(
        target=deliveries, activity=st.sampled_from(sorted(ACTIVITIES)), manual=st.booleans(),
        published=st.sampled_from(["no", "yes", "twice", "unnoted"]), lost_answer=st.booleans(),
    )  # fmt: skip
    def an_activity_task_is_claimed(self, activity, manual, published, lost_answer):
        self.count += 1
        token = f"token-{self.count}"
        claim = Claim(claim_id_of(token), activity, "{}")
        attempts = ACTIVITIES[activity]

        async def store() -> bool:
            return await self.claims.store(
                claim, token=token, queue="celery", interval_s=EVERY_S, manual=manual,
                max_attempts=attempts, poller="p1")  # fmt: skip

        assert self.ask(store, lost_answer=lost_answer) is not lost_answer
        expected = self.model[claim.claim_id] = Expected(
            claim.claim_id, activity, attempts, manual=manual,
            patience_until=self.now + PATIENCE_S)  # fmt: skip
        if published == "no":  # the poller died
            return multiple()
        delivery = Delivery(claim.job, 0)
        if published == "unnoted":
            return delivery
        assert self.ask(lambda: self.claims.mark_queued(claim.job))
        expected.state = "queued"
        return multiple(delivery, delivery) if published == "twice" else delivery

    @rule(want=st.integers(1, 5))
    def polls_are_granted(self, want: int) -> None:
        """Invariant 1: against free slots of living workers only."""
        grant = self.ask(lambda: self.claims.grant_polls("p1", [Wish("retry", "celery", 0, want)]))
        slots = SLOTS * sum(self.has_lease(worker) for worker in WORKERS)
        assert grant.slots == slots or not slots
        assert grant.polls[0] <= min(want, slots)

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
        target=runs, delivery=consumes(deliveries), worker=st.sampled_from(WORKERS),
        lost_answer=st.booleans(),
    )  # fmt: skip
    def a_delivery_asks_to_run(self, delivery, worker, lost_answer):
        assume(worker not in self.dead)
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
            if lost_answer:
                assert start() is Start.RUN
            return Run(delivery.job, delivery.retry, worker, run)
        return multiple()

    @rule(run=consumes(runs), ok=st.booleans(), lost_answer=st.booleans())
    def a_run_ends(self, run: Run, ok: bool, lost_answer: bool) -> None:
        assume(run.worker not in self.dead)
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
            self.settle(claim, outcome)
            if lost_answer:
                assert self.jobs.settle(run.job, outcome) is Settled.SETTLED

    @rule(target=deliveries, run=consumes(runs), delay_s=st.sampled_from([0.0, 20.0]),
          first=st.booleans(), lost_answer=st.booleans())  # fmt: skip
    def a_run_is_retried(self, run, delay_s, first, lost_answer):
        """self.retry; Celery publishes the retry before the run that asks for it has ended."""
        assume(run.worker not in self.dead)
        claim = self.model[run.job.claim_id]
        holds = claim.state == "running" and claim.run == run.run

        def release() -> bool:
            return self.jobs.release(run.job, run=run.run, retry=run.retry + 1, delay_s=delay_s)

        assert release() == holds
        if holds:
            claim.state, claim.worker, claim.run, claim.retry = "queued", "", "", run.retry + 1
            claim.patience_until = self.now + delay_s + PATIENCE_S
            if lost_answer:
                assert release() is False
        return Delivery(run.job, run.retry + 1)

    @rule(run=runs)
    def a_run_says_that_it_is_alive(self, run: Run) -> None:
        assume(run.worker not in self.dead)
        claim = self.model[run.job.claim_id]
        holds = claim.state == "running" and claim.run == run.run
        assert self.jobs.keep_alive(run.job, run=run.run) == holds
        assert (self.jobs.ask(run.job, run=run.run) == "") == holds
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
                assert self.jobs.lose(job, worker=worker, outcome=LOST) is Lost.MOVED
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
        assert set(found) == (expected if self.now >= self.amnesty_until else set())
        return found

    def lose(self, claim: Expected, job: Job, worker: str) -> None:
        answer = self.jobs.lose(job, worker=worker, outcome=LOST)
        if claim.attempt < claim.attempts:
            assert answer is Lost.AGAIN
            claim.state, claim.worker, claim.run, claim.retry = "claimed", "", "", 0
            claim.attempt += 1
            claim.patience_until = self.now + PATIENCE_S
        else:
            assert answer is Lost.FAILED
            self.settle(claim, LOST)

    def publish_unstarted(self, *, published: bool) -> list[Delivery]:
        deliveries = []
        for claim, retry in self.ask(lambda: self.claims.take_unstarted(100, hold_s=HOLD_S)):
            expected = self.model[claim.claim_id]
            assert expected.state in ("claimed", "queued")
            assert (claim.job, retry) == (expected.job, expected.retry)
            if expected.state == "queued":
                assert any(self.has_lease(worker) for worker in self.leases)
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
                self.settle(claim, SILENT)
            else:
                assert self.now > claim.patience_until
                self.settle(claim, NOT_STARTED)
        assert len({beat.claim_id for beat in due.beats}) == len(due.beats)
        for beat in due.beats:
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
                lost_answer=lost_answer)  # fmt: skip
            assert closed.unfinished == []
            named = [ended.activity for ended in closed.ended]
            assert named == ([] if lost_answer else [claim.activity])
            self.close(claim)

    @rule(data=st.data())
    def step_functions_closes_a_token(self, data) -> None:
        """StopExecution, or a time-out: nobody tells us."""
        waiting = sorted(c.claim_id for c in self.model.values() if not c.closed_at_aws)
        assume(waiting)
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
            load["celery"] += 1
            in_flight[claim.activity] += 1
        assert beats == alive
        assert unstarted | outbox <= alive
        assert {k: int(n) for k, n in self.redis.hgetall(f"{ROOT}:tally").items()} == tally
        assert {k: int(n) for k, n in self.redis.hgetall(f"{ROOT}:load").items()} == load
        for activity in ACTIVITIES:
            assert self.redis.zcard(f"{ROOT}:claims:{activity}") == in_flight[activity]

    @invariant()
    def no_claim_has_two_outcomes(self) -> None:
        assert all(len(claim.reported) <= 1 for claim in self.model.values())

    # The end

    def everything_ends(self) -> None:
        """With a living worker and nobody's help but the sweeps', every claim is closed."""
        self.leases["w9"] = 0.0
        for _ in range(60):
            if all(claim.state == "closed" for claim in self.model.values()):
                break
            self.move(HOLD_S)
            self.jobs.renew_lease("w9", number=next(NUMBERS), slots=100, queues=["celery"])
            self.leases["w9"] = self.now + LEASE_S
            self.a_pass_of_heartbeats()
            self.find_lost()
            self.move(LEASE_S / 2)
            for job, worker, _ in self.find_lost():
                self.lose(self.model[job.claim_id], job, worker)
            for delivery in self.publish_unstarted(published=True):
                claim = self.model[delivery.job.claim_id]
                run = f"last-{claim.claim_id}"
                answer = self.jobs.start(
                    delivery.job, retry=delivery.retry, worker="w9", run=run)  # fmt: skip
                if answer is Start.RUN:
                    outcome = Outcome(output="1")
                    assert self.jobs.settle(delivery.job, outcome) is Settled.STORED
                    self.settle(claim, outcome)
            self.outcomes_are_reported(dies=False, lost_answer=False)
            self.every_claim_stands_where_it_is_found_again()
        stuck = [claim for claim in self.model.values() if claim.state != "closed"]
        assert not stuck, stuck
        left = {key.split(":")[1] for key in self.redis.keys(f"{ROOT}:*")}
        kept = "claim classes clock ended fleet held lasted offers passes pollers polls runs server"
        kept += " wake workers"
        assert left <= {*kept.split()}


@pytest.fixture(scope="module")
def own_valkey():
    with LocalValkey() as server:
        yield server


@pytest.mark.timeout(600)
def test_any_order_of_events(own_valkey):
    Claims.valkey = own_valkey
    examples = int(os.environ.get("MODEL_EXAMPLES", "100"))
    with mock.patch("bridge.store.scripts.script", on_a_false_clock):
        run_state_machine_as_test(
            Claims,
            settings=settings(
                max_examples=examples, stateful_step_count=40, deadline=None, derandomize=False,
                print_blob=True, suppress_health_check=list(HealthCheck)),
        )  # fmt: skip
