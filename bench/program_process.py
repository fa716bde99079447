"""Run one of ``bench.programs`` that takes commands on stdin and answers each with a line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from bench.processes import BenchError, Process, environment, python


class ProgramProcess(Process):
    """A program that prints ``ready``, then a line for each line that it is sent."""

    def __init__(self, program: str, *, endpoint: str, folder: Path, **env: str) -> None:
        super().__init__(
            program,
            python("-m", f"bench.programs.{program}"),
            env=environment(endpoint, **env),
            folder=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._ready = False

    def send(self, line: str) -> None:
        """Send a line, once the program is ready."""
        if not self._ready:
            self._ready = bool(self.read())
        assert self.popen.stdin is not None
        self.popen.stdin.write(f"{line}\n".encode())
        self.popen.stdin.flush()

    def read(self) -> str:
        """Wait for the program's next line."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline().decode()
        if not line:
            raise BenchError(f"{self.name} ended:\n{self.log.read_text()[-2000:]}")
        return line.strip()

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line, and read the answer as JSON."""
        self.send(line)
        answer: dict[str, Any] = json.loads(self.read())
        return answer
