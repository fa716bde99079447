"""The scripts against a small model: any order of events, faults, lost answers, on a false clock.

Hypothesis plays pollers, workers, the broker, the beat process and Step Functions: it delivers
messages twice or never, kills workers, loses answers (the call is repeated), closes tokens without
a word to the bridge, and moves the clock. The model says what each script must answer. After every
step the invariants of the claims are checked in Valkey itself, and at the end all claims must be
closed by the ordinary means: recovery passes, heartbeats, reports.

``docs/claim-states.md`` draws what is checked here.
"""

from __future__ import annotations

import os
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from bridge.local.valkey import LocalValkey
from bridge.model import Outcome
from bridge.store import Settled, Start
from tests.model.beat_events import BeatEvents
from tests.model.false_clock import on_a_false_clock
from tests.model.invariants import Invariants
from tests.model.worker_events import WorkerEvents
from tests.model.world import HOLD_S, LEASE_S, ROOT, Announced


class Claims(WorkerEvents, BeatEvents, Invariants):
    """What may happen to claims, and how it all must end."""

    def teardown(self) -> None:
        try:
            self.everything_ends()
        finally:
            self.loop.run(self.claims.close())
            self.loop.close()
            self.jobs.close()
            self.redis.close()

    def everything_ends(self) -> None:
        """With one live worker, passes and reports alone bring every claim to its close."""
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
                self.recover_lost(self.model[job.claim_id], job, worker)
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
        for _ in range(3):  # the leases of the last workers end, and recovery forgets the workers
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
