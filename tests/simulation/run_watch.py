"""Watches users' code and its messages: invariants 2, 3, 5 and 6."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.model import Job
from tests.simulation.invariants import Invariant
from tests.simulation.plans import Plan
from tests.simulation.process import PROCESS, Process
from tests.simulation.step_functions import TOKEN

if TYPE_CHECKING:
    from tests.simulation.broker import Message
    from tests.simulation.observer import Observer
    from tests.simulation.world import World

LOOKS_WITHIN_S, TERMINATED_WITHIN_S = 20.0, 60.0
"""How long code may run on after its claim was closed: code that asks, and code that is terminated
with the second renewal of its worker's lease at the latest."""


@dataclass(eq=False)
class CodeRun:
    """One run of users' code, in a child of a worker's pool.

    Attributes:
        name: Of the run, in the store.
    """

    job: Job
    name: str
    plan: Plan
    child: Process
    began_s: float


class RunWatch:
    """The runs of users' code, and what the store says of them.

    Attributes:
        now: Those that are on.
    """

    def __init__(self, world: World, observer: Observer) -> None:
        self._world = world
        self._observer = observer
        self.now: list[CodeRun] = []
        self._last_name: dict[Process, str] = {}
        self._taken_away: set[Job] = set()
        self._closed_s: dict[str, float] = {}

    # Users' code

    def begin(self, plan: Plan, current: Any) -> CodeRun:
        """Users' code begins to run in this process."""
        child = PROCESS.get()
        assert child is not None
        run = CodeRun(current._job, current.run, plan, child, self._world.now_s)
        self._world.trace("code", child.name, plan.number, current.attempt)
        for other in self.now:
            same = other.job.claim_id == run.job.claim_id
            if same and other.job not in self._taken_away and self._is_live(other):
                self._observer.require(
                    run.job.claim_id in self._observer.lost_writes,
                    Invariant.ONE_RUNNER,
                    f"claim {run.job.claim_id} runs on {child.name} and {other.child.name}",
                )
        self.now.append(run)
        return run

    def _is_live(self, run: CodeRun) -> bool:
        """Whether the run goes on in a worker whose lease has not ended."""
        clock_ms = self._world.server.clock_ms(self._world.now_s)
        return run.child.runs and self._observer.view.has_lease(run.child.worker.name, clock_ms)

    def end(self, run: CodeRun) -> None:
        """Users' code has returned, or raised."""
        if run in self.now:
            self.now.remove(run)
            self._last_name[run.child] = run.name

    def process_ended(self) -> None:
        """A process has died with the code that it ran."""
        self.now = [run for run in self.now if run.child.alive]

    def look(self) -> None:
        """Code whose claim is closed stops, where it asks whether it is cancelled."""
        for run in self.now:
            closed_s = self._closed_s.get(run.job.claim_id)
            stops = run.plan.looks or run.plan.kind.terminates
            if closed_s is None or not stops or not run.child.alive:
                continue
            within_s = LOOKS_WITHIN_S if run.plan.looks else TERMINATED_WITHIN_S
            since_s = max(closed_s, run.began_s, self._world.faults.last_s)
            self._observer.require(
                self._world.now_s - since_s <= within_s,
                Invariant.CLOSED,
                f"claim {run.job.claim_id} is closed, and {run.child.name} still runs its code",
            )

    # What the store answers

    def started(self, claim_id: str, attempt: int, retry: int, worker: str, run: str) -> None:
        """A delivery may run users' code."""
        claim = self._observer.view.claim(claim_id)
        holds = (claim.state, claim.attempt, claim.worker) == ("running", attempt, worker)
        self._observer.require(
            holds and claim.run == run,
            Invariant.ONE_RUNNER,
            f"attempt {attempt} of claim {claim_id} may run on {worker}, and it is {claim}",
        )

    def recovered(self, claim_id: str, attempt: int, worker: str, *, is_gone: bool) -> None:
        """A claim is taken from a worker whose lease has ended, or that has dropped its job.

        A worker that was only frozen may run on; the fence drops what comes of it.
        """
        job, view = Job(claim_id, attempt), self._observer.view
        self._taken_away.add(job)
        clock_ms = self._world.server.clock_ms(self._world.now_s)
        runs_on = any(run.job == job and run.child.worker.name == worker for run in self.now)
        has_it = runs_on if is_gone else view.has_lease(worker, clock_ms)
        self._observer.require(
            not has_it, Invariant.ONE_RUNNER, f"{job} is taken from {worker}, which still has it"
        )
        claim = view.claim(claim_id)
        self._observer.require(
            claim.state == "settled" or claim.attempt == attempt + 1,
            Invariant.ONE_RUNNER,
            f"{job} is recovered, and its attempt was not raised: {claim}",
        )

    def settled(self, claim_id: str, attempt: int, ok: int, outcome: str, of: str) -> None:
        """An outcome counts."""
        claim = self._observer.view.claim(claim_id)
        self._observer.require(
            bool(ok) or claim.attempt == attempt,
            Invariant.ONE_RUNNER,
            f"a failure of attempt {attempt} of claim {claim_id} counts, and it is {claim}",
        )
        self._observer.require(
            claim.state == "settled",
            Invariant.ACKNOWLEDGED,
            f"the outcome of claim {claim_id} is said to be stored, and it is {claim}",
        )

    def closed(self, claim_ids: Iterable[str]) -> None:
        """Claims are closed."""
        for claim_id in claim_ids:
            self._closed_s.setdefault(claim_id, self._world.now_s)

    # Messages

    def published(self, message: Message) -> None:
        """A job's message is on its way."""
        claim_id = message.job.claim_id
        text = json.dumps([message.headers, message.args])
        self._observer.require(
            TOKEN not in text, Invariant.SECRET, f"message {message} has the token"
        )
        known = self._observer.view.claim(claim_id).state or claim_id in self._observer.lost_writes
        self._observer.require(
            bool(known), Invariant.STORED, f"{message} is published, and its claim is not stored"
        )

    def acknowledged(self, message: Message, child: Process | None) -> None:
        """A worker acknowledges a message.

        Args:
            child: Where its job ran; None: it did not begin.
        """
        job, claim = message.job, self._observer.view.claim(message.job.claim_id)
        if child is None or job.claim_id in self._observer.lost_writes:
            return
        self._observer.require(
            claim.state != "running" or claim.run != self._last_name.get(child),
            Invariant.ACKNOWLEDGED,
            f"{message} is acknowledged, and no outcome of its run is stored: {claim}",
        )
        is_its = (claim.attempt, claim.retry) == (job.attempt, message.retry)
        self._observer.require(
            claim.state != "queued"
            or not is_its
            or not self._observer.calm_since(self._world.now_s),
            Invariant.ACKNOWLEDGED,
            f"{message} is acknowledged, and its claim still waits for it: {claim}",
        )
