"""Sees everything in a simulation, and ends it with the first broken invariant.

The world calls it where something happens. Three watches know the rules: ``RunWatch`` those of
users' code and of messages, ``TokenWatch`` those of tokens, ``StoreWatch`` those of the store's
contents.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from bridge.model import claim_id_of
from tests.simulation.invariants import Invariant, Violation
from tests.simulation.process import PROCESS
from tests.simulation.run_watch import RunWatch
from tests.simulation.step_functions import TOKEN
from tests.simulation.store_view import StoreView
from tests.simulation.store_watch import StoreWatch
from tests.simulation.token_watch import TokenWatch
from tests.simulation.worker import Worker

if TYPE_CHECKING:
    from tests.simulation.world import World

FIELDS_OF_HEARTBEAT = 5
"""Fields of each heartbeat that ``take_heartbeats`` returns; the first is its claim."""
CALM_S = 120.0
"""So long after the last fault everything must go as planned again."""


class Observer(logging.Handler):
    """Everything that is watched in one simulation.

    Attributes:
        view: The store, read past the scripts.
        lost_writes: Claims that the store may know wrongly, for it has lost its last writes.
        failed: The first violation.
    """

    def __init__(self, world: World) -> None:
        super().__init__(logging.INFO)
        self._world = world
        self.view = StoreView(world.server)
        self.lost_writes: set[str] = set()
        self.failed: Violation | None = None
        self.runs = RunWatch(world, self)
        self.tokens = TokenWatch(world, self)
        self.store = StoreWatch(world, self)

    def require(self, holds: bool, invariant: Invariant, what: str) -> None:
        """Note what breaks an invariant; the first one ends the simulation."""
        if not holds and self.failed is None:
            self.failed = Violation(invariant, what)
            self._world.trace("BROKEN", invariant, what)
            self._world.loop.stop()

    def calm_since(self, since_s: float) -> bool:
        """Whether no fault can have an effect on what began then."""
        return self._world.faults.last_s < since_s - CALM_S and not self._world.any_frozen

    def writes_are_lost(self) -> None:
        """The store loses its last writes: of what is in flight now little can be said."""
        self.lost_writes |= set(self.view.all().in_flight)
        self.lost_writes |= {run.job.claim_id for run in self.runs.now}
        for execution in self._world.step_functions.executions:
            if execution.token and not execution.ended:
                self.lost_writes.add(claim_id_of(execution.token))

    def emit(self, record: logging.LogRecord) -> None:
        """The bridge logs something."""
        text, process = record.getMessage(), PROCESS.get()
        self._world.trace("log", process and process.name, record.levelname, text)
        self.require(TOKEN not in text, Invariant.SECRET, f"a log line has the token: {text}")
        if record.exc_info:
            kind, raised, _ = record.exc_info
            what = f"an exception is not expected: {text}: {kind and kind.__name__}: {raised}"
            self.require(False, Invariant.ENDS, what)

    def script_ran(self, name: str, args: tuple[Any, ...], answer: Any) -> None:
        """A script has run in the store."""
        process = PROCESS.get()
        self._world.trace("script", process and process.name, name, args, answer)
        if process is not None and isinstance(process.worker, Worker):
            what = f"{name} gave a worker a token"
            self.require(TOKEN not in repr(answer), Invariant.SECRET, what)
        match name:
            case "start" if answer == "run":
                self.runs.started(*args)
                self.tokens.job_lives(args[0])
            case "keep_alive" if answer == 1:
                self.tokens.job_lives(args[0])
            case "settle" if answer == "stored":
                self.runs.settled(*args)
            case "recover" if answer != "moved":
                self.runs.recovered(*args[:3], is_gone=bool(args[4]))
            case "take_heartbeats":
                self.tokens.heartbeats_taken(answer[2][::FIELDS_OF_HEARTBEAT])
            case "close":
                self.runs.closed(args[1:])
                self.tokens.claims_closed(args[1:])
            case "grant_polls" if any(answer[1]):
                self.store.granted(args, answer)
