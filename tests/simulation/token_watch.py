"""Watches tokens and executions: invariants 4 and 6, and that executions end as planned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bridge.model import claim_id_of
from tests.simulation.invariants import Invariant
from tests.simulation.step_functions import Execution
from tests.simulation.store_view import WAITS

if TYPE_CHECKING:
    from tests.simulation.observer import Observer
    from tests.simulation.world import World

SLACK_S = 5.0
"""Latencies, and the time between two looks of a loop."""
CLOSED_WITHIN_S = 5.0
"""How long a claim may be in flight after a call has heard that its token is closed. The next
heartbeat, which would hear it too, comes later."""


class TokenWatch:
    """What Step Functions hears of tokens, and how executions end."""

    def __init__(self, world: World, observer: Observer) -> None:
        self._world = world
        self._observer = observer
        self._lived_s: dict[str, float] = {}

    def job_lives(self, claim_id: str) -> None:
        """A job begins, or a job with manual heartbeats says that it makes progress."""
        self._lived_s[claim_id] = self._world.now_s

    def heartbeats_taken(self, claim_ids: Iterable[str]) -> None:
        """A pass takes tokens: of a running claim only while its worker has a lease."""
        clock_ms = self._world.server.clock_ms(self._world.now_s)
        for claim_id in claim_ids:
            claim = self._observer.view.claim(claim_id)
            if claim.state == "running":
                self._observer.require(
                    self._observer.view.has_lease(claim.worker, clock_ms),
                    Invariant.HEARTBEAT,
                    f"claim {claim_id} gets a heartbeat, and its worker has no lease: {claim}",
                )

    def heartbeat_came(self, execution: Execution) -> None:
        """Step Functions gets a heartbeat for a token that is open."""
        claim_id = claim_id_of(execution.token)
        claim = self._observer.view.claim(claim_id)
        if claim.state in WAITS:
            until_s = (claim.until_ms - self._world.server.clock_ms(0.0)) / 1000
            late_s = self._world.now_s - until_s
            allowed = late_s <= SLACK_S or self._world.server.jumped_ms != 0
            why = f"{late_s:.0f} s after its patience has ended"
        elif claim.state == "running":
            allowed, why = self._has_living_runner(execution, claim.worker)
        else:
            return
        self._observer.require(
            allowed or claim_id in self._observer.lost_writes,
            Invariant.HEARTBEAT,
            f"claim {claim_id} gets a heartbeat {why}: {claim}",
        )

    def _has_living_runner(self, execution: Execution, name: str) -> tuple[bool, str]:
        """Whether its worker lives; and its job, by its own last sign. And what was seen."""
        settings, now_s = self._world.settings, self._world.now_s
        stopped_s = self._world.faults.stopped_time_s
        worker = self._world.process(name)
        if worker is not None and worker.died_at_s is not None:
            gone_s = now_s - max(worker.died_at_s, stopped_s)
            allowed_s = settings.lease_s + SLACK_S
            return gone_s <= allowed_s, f"{gone_s:.0f} s after its worker has died"
        if execution.plan.kind.manual:
            silent_s = now_s - max(self._lived_s[claim_id_of(execution.token)], stopped_s)
            allowed_s = 2 * settings.heartbeat_s + SLACK_S
            return silent_s <= allowed_s, f"{silent_s:.0f} s after its job's last sign of life"
        return True, ""

    def claims_closed(self, claim_ids: Iterable[str]) -> None:
        """Claims are closed: Step Functions must have taken their outcomes, or have ended them."""
        for claim_id in claim_ids:
            execution = self._world.step_functions.of_claim(claim_id)
            self._observer.require(
                execution is not None and bool(execution.ended),
                Invariant.ACKNOWLEDGED,
                f"claim {claim_id} is closed, and Step Functions still waits for its outcome",
            )

    def closed_token_was_used(self, execution: Execution) -> None:
        """Step Functions says to a call that a token is closed."""
        self._world.call_later(CLOSED_WITHIN_S, self._check_closed, execution)

    def _check_closed(self, execution: Execution) -> None:
        if not self._observer.calm_since(self._world.now_s - CLOSED_WITHIN_S):
            self._world.call_later(CLOSED_WITHIN_S, self._check_closed, execution)
            return
        claim_id = claim_id_of(execution.token)
        claim = self._observer.view.claim(claim_id)
        self._observer.require(
            not claim.in_flight,
            Invariant.CLOSED,
            f"{CLOSED_WITHIN_S:.0f} s ago a call heard that claim {claim_id} is closed: {claim}",
        )

    def execution_ended(self, execution: Execution) -> None:
        """An execution has ended; where no fault can have touched it, as planned."""
        plan, began_s = execution.plan, execution.claimed_s or execution.began_s
        if execution.ended == "aborted" or not self._observer.calm_since(began_s):
            return
        self._observer.require(
            execution.ended in plan.expected
            or claim_id_of(execution.token) in self._observer.lost_writes,
            Invariant.ENDS,
            f"execution {plan.number} ({plan.kind.activity}) ended as {execution.ended}, and "
            f"nothing went wrong: it should end as {' or '.join(plan.expected)}",
        )
