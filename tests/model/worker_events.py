"""What workers and the broker do."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import consumes, initialize, multiple, rule

from bridge.model import Outcome
from bridge.store import Settled, Start
from tests.model.poller_events import PollerEvents
from tests.model.world import (
    ACTIVITIES,
    EVERY_S,
    LEASE_S,
    NUMBERS,
    PATIENCE_S,
    WAITS,
    WORKERS,
    Announced,
    Delivery,
    Run,
    deliveries,
    runs,
)


class WorkerEvents(PollerEvents):
    """Leases, messages and runs."""

    @initialize()
    def workers_join(self) -> None:
        for worker in WORKERS:
            self.renew(worker)

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
        """It drains or grows, consumes another queue, or reaches a rate limit."""
        if worker in self.dead:
            return
        waiting = sorted(c.claim_id for c in self.model.values() if c.state in WAITS)
        holds = data.draw(st.sets(st.sampled_from(waiting), max_size=2)) if waiting else set()
        announced = self.fleet[worker]
        announced.slots, announced.queues, announced.ordinary = slots, queues, ordinary
        self.renew(worker, frozenset(holds))

    def renew(self, name: str, holds: frozenset[str] | None = None) -> None:
        """It holds all that it runs; forgotten jobs are tested elsewhere."""
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

    @rule(worker=st.sampled_from(WORKERS))
    def a_worker_dies(self, worker: str) -> None:
        """SIGKILL, with all that it runs: it does nothing any more."""
        if not self.is_last(worker):
            self.dead.add(worker)

    def is_last(self, worker: str) -> bool:
        """Whether it is the last live worker, which stays, or nothing more would happen."""
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
        self.leave_the_sums(worker)
        if not held:
            self.forget(worker)

    @rule(delivery=consumes(deliveries))
    def a_message_is_lost(self, delivery: Delivery) -> None:
        """BRPOP took it, and its worker died."""

    @rule(target=deliveries, delivery=deliveries)
    def a_message_is_doubled(self, delivery: Delivery) -> Delivery:
        """A visibility timeout has passed."""
        return delivery

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
        """Most claims begin like this."""
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
