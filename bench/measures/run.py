"""What every measure is given: the stub, the contestants, a folder, and how much to measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.contestants.lineup import Lineup
from bench.stub_server import StubServer


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of the bench.

    Attributes:
        folder: Logs of the processes.
        quick: Fewer contestants, rounds and tasks: enough for rough ratios.
        million: Whether ``growth`` goes on to a million claims.
        say: Shows people what is being measured.
    """

    stub: StubServer
    folder: Path
    lineup: Lineup
    quick: bool
    million: bool
    say: Callable[[str], None]
