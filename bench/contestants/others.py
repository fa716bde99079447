"""Run stefuna and heaviside from PyPI, in a virtualenv of their own.

It is separate because they pin other versions than the bridge. The first run creates it, in
``var/bench-venv``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.contestants.base import Contestant
from bench.processes import ROOT, BenchError
from bench.stub import ARN
from bench.stub_server import StubServer

VENV = ROOT / "var" / "bench-venv"
PACKAGES = ("stefuna", "heaviside")
INSTALL_TIMEOUT_S = 180.0


def interpreter() -> Path:
    """The Python of the virtualenv, which is created if it is missing.

    Raises:
        BenchError: The packages cannot be installed.
    """
    python, done = VENV / "bin" / "python", VENV / ".installed"
    if done.exists():
        return python
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(VENV)], [*pip, *PACKAGES]):
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S
            )
        except (OSError, subprocess.SubprocessError) as exc:
            error = str(getattr(exc, "stderr", "") or exc).strip()
            raise BenchError(f"cannot install {', '.join(PACKAGES)}: {error[-300:]}") from exc
    done.touch()
    return python


def versions() -> dict[str, str]:
    """Versions of the packages in the virtualenv."""
    code = (
        "from importlib.metadata import version; import sys; "
        "print(*(version(name) for name in sys.argv[1:]))"
    )
    done = subprocess.run(
        [str(interpreter()), "-c", code, *PACKAGES, "boto3"],
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(zip([*PACKAGES, "boto3"], done.stdout.split(), strict=True))


class Stefuna(Contestant):
    """One stefuna server with a pool of processes."""

    def __init__(self, name: str, stub: StubServer, folder: Path, *, processes: int = 4) -> None:
        super().__init__(name, stub, folder)
        self.pool = processes
        self.label = f"stefuna, {processes}"
        self.configuration = f"1 server, {processes} processes, heartbeat=20"

    def start(self) -> None:
        self.stub.create(self.activity)
        program = [str(interpreter()), "-m", "bench.programs.stefuna_worker"]
        self.launch("worker", [*program, ARN + self.activity, str(self.pool)], "polls")


class Heaviside(Contestant):
    """One worker of heaviside.

    Args:
        way: ``"inline"``, or ``"manager"``, which starts a process for each task.
    """

    def __init__(self, name: str, stub: StubServer, folder: Path, *, way: str = "inline") -> None:
        super().__init__(name, stub, folder)
        self.way = way
        self.label = "heaviside" if way == "inline" else "heaviside, a process a task"
        self.configuration = {
            "inline": "Activity.run: polls, runs and reports one task after the other",
            "manager": "ActivityManager: forks a process for each task",
        }[way]
        self.warm_up = 50 if way == "inline" else 2

    def start(self) -> None:
        self.stub.create(self.activity)
        program = [str(interpreter()), "-m", "bench.programs.heaviside_worker"]
        self.launch("worker", [*program, self.way, ARN + self.activity], "polls")
