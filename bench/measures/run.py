"""What a run has: the stub, a folder for logs, and how long it may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.contestants.fleet import Fleet
from bench.control import StubServer


@dataclass(slots=True)
class Run:
    """One run of the bench.

    Attributes:
        quick: Fewer contestants, rounds and tasks: ratios to look at while one works.
        million: Whether ``growth`` goes on to a million claims.
        say: Tells people what is measured now.
    """

    stub: StubServer
    folder: Path
    fleet: Fleet
    quick: bool
    million: bool
    say: Callable[[str], None]
