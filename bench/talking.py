"""A program that is told what to do on stdin and answers a line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from bench.processes import BenchError, Process, environment, python


class Talking(Process):
    """One of ``bench.programs``, which says ``ready`` first."""

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

    def tell(self, line: str) -> None:
        """Say a line, once the program is ready."""
        if not self._ready:
            self._ready = bool(self._line())
        assert self.popen.stdin is not None
        self.popen.stdin.write(f"{line}\n".encode())
        self.popen.stdin.flush()

    def answer(self) -> str:
        return self._line()

    def ask(self, line: str) -> dict[str, Any]:
        """Say a line; the JSON that comes back."""
        self.tell(line)
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def _line(self) -> str:
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline().decode()
        if not line:
            raise BenchError(f"{self.name} ended:\n{self.log.read_text()[-2000:]}")
        return line.strip()
