"""What goes wrong, drawn from the seed: each seed has its own mixture of faults.

Each kind of fault occurs in about half of the seeds, so that some seeds show few of them. The last
fault is remembered: what begins long after it must go as planned.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.world import World

LOSSES = {
    "store request": 0.002,
    "store answer": 0.002,
    "poll answer": 0.01,
    "call answer": 0.02,
    "repeated call": 0.3,
    "message": 0.02,
    "publish": 0.02,
    "publish answer": 0.02,
    "revocation": 0.2,
    "duplicate message": 0.03,
    "pool child": 0.02,
    "silent heartbeat": 0.05,
}
"""Kind of loss → how often it happens, where it is on."""
REFUSALS = {"throttled": 0.05, "denied": 0.01, "away": 0.02}


class Faults:
    """The faults of one seed.

    Attributes:
        any: Whether there are any.
        on: Whether one may begin now.
        kinds: The kinds that this seed has.
        last_s: When the last one began.
        stopped_time_s: When the store's time stood still last, because its clock was in doubt.
    """

    def __init__(self, world: World, *, rates: float) -> None:
        self._world = world
        self._rng = random.Random(f"faults {world.seed}")
        self.any = rates > 0
        self.on = False
        self.kinds = {kind for kind in (*LOSSES, *REFUSALS) if self._rng.random() < 0.5 * rates}
        self.last_s = float("-inf")
        self.stopped_time_s = float("-inf")

    def note(self, what: str) -> None:
        """A fault begins now."""
        self.last_s = self._world.now_s
        self._world.trace("fault", what)

    def loses(self, kind: str) -> bool:
        """Whether this one is lost."""
        if not self.on or kind not in self.kinds or self._rng.random() >= LOSSES[kind]:
            return False
        self.note(kind)
        return True

    def refusal(self, call: str) -> str:
        """Why Step Functions refuses this call; empty: it does not."""
        for kind, rate in REFUSALS.items():
            if self.on and kind in self.kinds and self._rng.random() < rate:
                self.note(f"{call} {kind}")
                return kind
        return ""

    def store_loss(self) -> str:
        """``"request"`` or ``"answer"``, where one of them is lost."""
        if not self.on:
            return ""
        if self.loses("store request"):
            return "request"
        return "answer" if self.loses("store answer") else ""

    def store_latency_s(self) -> float:
        """One way between the bridge and the store."""
        return self._rng.uniform(0.0002, 0.002) if self._rng.random() < 0.98 else 0.05

    def answer_latency_s(self) -> float:
        """An answer's way back from the store; most come before anything else happens."""
        return self.store_latency_s() if self._rng.random() < 0.3 else 0.0

    def call_latency_s(self) -> float:
        """One way between the bridge and Step Functions."""
        return self._rng.uniform(0.005, 0.05)

    def broker_latency_s(self) -> float:
        """One way between the bridge and Celery's broker."""
        return self._rng.uniform(0.0005, 0.005)
