"""What pollers, their reporters and Step Functions do."""

from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import multiple, rule

from bridge.model import Claim, claim_id_of
from bridge.store import Wish
from tests.model.ledger import FORGOTTEN_AFTER_MS, Grants, Lane, Ledger, Worker
from tests.model.world import (
    ACTIVITIES,
    EVERY_S,
    HOLD_S,
    LANES,
    LOOK_AHEAD,
    PATIENCE_S,
    QUEUE,
    RUNS_REMEMBERED,
    WAITS,
    Delivery,
    Expected,
    Run,
    World,
    deliveries,
    runs,
)


class PollerEvents(World):
    """Claims, grants of polls and reports, and tokens that Step Functions closes."""

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
                self.leave_the_sums(worker)
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
            if dies:  # after the report, before the note: it is sent again, to a closed token
                continue
            closed = self.ask(
                lambda id_=report.claim_id: self.claims.close_claims([id_], reason="reported"),
                lost_answer=lost_answer,
            )
            assert closed.unfinished == []
            named = [ended.activity for ended in closed.ended]
            assert named == ([] if lost_answer else [claim.activity])
            self.close(claim)

    @rule(run=runs)
    def a_running_job_is_told_that_its_token_is_closed(self, run: Run) -> None:
        """Its heartbeat is answered so; the user's code runs on until it checks, or ends."""
        claim = self.model[run.job.claim_id]
        if claim.state != "closed":
            claim.closed_at_aws = True
            self.note_that_it_is_closed(claim)

    @rule(data=st.data())
    def step_functions_closes_a_token(self, data) -> None:
        """StopExecution, or a time-out: the bridge is not told."""
        waiting = sorted(c.claim_id for c in self.model.values() if not c.closed_at_aws)
        if waiting:
            self.model[data.draw(st.sampled_from(waiting))].closed_at_aws = True
