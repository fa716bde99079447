"""What the beat process does, or a poller that stands in for it."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import multiple, rule

from bridge.model import Job
from bridge.store import LostJob, Recovery
from tests.model.world import (
    EVERY_S,
    HOLD_S,
    LEASE_S,
    LOST,
    NOT_STARTED,
    PATIENCE_S,
    QUEUE,
    SILENT,
    Delivery,
    Expected,
    World,
    deliveries,
)


class BeatEvents(World):
    """Recovery passes and heartbeat passes."""

    @rule(target=deliveries, published=st.booleans(), lost_answer=st.booleans())
    def a_recovery_pass(self, published: bool, lost_answer: bool):
        found = self.find_lost()
        for job, worker, _ in found:
            claim = self.model[job.claim_id]
            self.recover_lost(claim, job, worker)
            if lost_answer:
                assert self.jobs.recover(job, worker=worker, outcome=LOST) is Recovery.MOVED
        return multiple(*self.publish_unstarted(published=published))

    def find_lost(self) -> list[LostJob]:
        """No worker counts as dead for half a lease after a longer pause between passes."""
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

    def recover_lost(self, claim: Expected, job: Job, worker: str) -> None:
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
        """Invariant 4: a heartbeat is sent only for a live runner; other claims are failed."""
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
        assert len({each.claim_id for each in due.heartbeats}) == len(due.heartbeats)
        for each in due.heartbeats:
            claim = self.model[each.claim_id]
            assert self.may_have_a_heartbeat(claim), claim
            if claim.closed_at_aws:
                self.note_that_it_is_closed(claim)

    def may_have_a_heartbeat(self, claim: Expected) -> bool:
        if claim.state in ("claimed", "queued"):
            return self.now <= claim.patience_until
        if claim.state == "running":
            lives = not claim.manual or self.now <= claim.alive_until
            return self.has_lease(claim.worker) and lives
        return claim.state == "settled"
