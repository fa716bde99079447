"""The invariants of the design that a simulation watches."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Invariant(StrEnum):
    """An invariant, by its number in the design."""

    ROOM = "1: no claim beyond what will soon run"
    STORED = "2: stored before dispatched"
    ONE_RUNNER = "3: one runner at a time"
    HEARTBEAT = "4: a heartbeat speaks for a living runner"
    ACKNOWLEDGED = "5: stored before acknowledged"
    CLOSED = "6: closed means stop"
    SECRET = "7: the token is a secret"
    ENDS = "everything ends as planned"


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold.

    Attributes:
        what: What was seen, as a sentence.
    """

    invariant: Invariant
    what: str
