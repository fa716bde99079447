"""Watches the store's contents: invariants 1, 2 and 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.model import Job
from tests.simulation.grants import asked_of, wrong_grant
from tests.simulation.invariants import Invariant
from tests.simulation.recount import wrong_places, wrong_sums
from tests.simulation.store_view import WAITS, Contents

if TYPE_CHECKING:
    from tests.simulation.observer import Observer
    from tests.simulation.world import World

GRANTS_A_CHECK = 3
"""The rules in plain Python are slow: one in so many grants is checked."""
PUBLISHED_WITHIN_S = 180.0
"""How long no message of a waiting claim may exist: the pauses of recovery grow."""
SLACK_S = 5.0


class StoreWatch:
    """What must hold of all claims, workers and sums at any instant."""

    def __init__(self, world: World, observer: Observer) -> None:
        self._world = world
        self._observer = observer
        self._grants = 0
        self._missing_s: dict[str, float] = {}

    def granted(self, args: tuple[Any, ...], answer: Any) -> None:
        """A poller may open polls: as many as the rules of the ledger say."""
        self._grants += 1
        if self._grants % GRANTS_A_CHECK == 0:
            contents = self._observer.view.all()
            now_ms = contents.store_ms(self._world.server.clock_ms(self._world.now_s))
            wrong = wrong_grant(asked_of(args, answer), contents, self._world.settings, now_ms)
            self._observer.require(not wrong, Invariant.ROOM, wrong)

    def look(self) -> None:
        """Check the contents of the store."""
        contents = self._observer.view.all()
        for wrong in wrong_sums(contents):
            self._observer.require(False, Invariant.ROOM, wrong)
        for invariant, wrong in wrong_places(contents):
            self._observer.require(False, invariant, wrong)
        self._look_for_lost_claims(contents)
        self._look_for_lost_messages(contents)

    def _look_for_lost_claims(self, contents: Contents) -> None:
        """Within a lease and a pass, what a dead worker ran runs again or has failed."""
        settings = self._world.settings
        within_s = 1.5 * settings.lease_s + 3 * settings.tick_s + SLACK_S
        for claim_id, claim in contents.in_flight.items():
            worker = self._world.process(claim.worker)
            if claim.state != "running" or worker is None or worker.died_at_s is None:
                continue
            since_s = max(worker.died_at_s, self._world.faults.last_s)
            self._observer.require(
                self._world.now_s - since_s <= within_s,
                Invariant.HEARTBEAT,
                f"claim {claim_id} still counts as running on {claim.worker}, which is dead",
            )

    def _look_for_lost_messages(self, contents: Contents) -> None:
        """While a worker has room, a job whose message is lost is published again."""
        now_s, there, missing_s = self._world.now_s, self._world.broker.jobs(), {}
        for claim_id, claim in contents.in_flight.items():
            takers = [each for each in self._world.workers if each.takes_from(claim.queue)]
            idle = any(len(worker.running) < worker.slots for worker in takers)
            if claim.state in WAITS and Job(claim_id, claim.attempt) not in there and idle:
                missing_s[claim_id] = self._missing_s.get(claim_id, now_s)
                since_s = max(missing_s[claim_id], self._world.faults.last_s)
                self._observer.require(
                    now_s - since_s <= PUBLISHED_WITHIN_S,
                    Invariant.STORED,
                    f"claim {claim_id} waits, and no message of its job exists: {claim}",
                )
        self._missing_s = missing_s
