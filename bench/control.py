"""The stub from the driver's side: start it, give it work, read its figures."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench.processes import BenchError, Process, environment, python


class Task(NamedTuple):
    """One task as the stub saw it; Unix seconds of this machine's one clock."""

    scheduled: float
    handed: float | None
    reported: float | None
    begun: float | None
    ended: float | None


class StubServer:
    """A stub in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._process = Process(
            "stub",
            python("-m", "bench.stub", "0"),
            env=environment(""),
            folder=folder,
            stdout=subprocess.PIPE,
        )
        out = self._process.popen.stdout
        assert out is not None
        line = out.readline()
        if not line:
            raise BenchError(f"the stub did not start: {self._process.log.read_text()}")
        self.port = int(line)
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_s(self) -> float:
        """By its own clock: it costs so little that the 10 ms of /proc would be half of it."""
        return float(self.counts()["cpu_s"])

    def create(self, *names: str) -> None:
        for name in names:
            self._ask("POST", "/schedule", {"activity": name, "count": 0, "rate": 0})

    def schedule(self, activity: str, count: int, rate: float = 0.0, *, work_ms: int = 0) -> int:
        """Schedule tasks, ``rate`` a second (0: all at once); the number of the first.

        Args:
            work_ms: How long their jobs are to last, for jobs that look at it.
        """
        said = {"activity": activity, "count": count, "rate": rate, "work_ms": work_ms}
        return int(self._ask("POST", "/schedule", said)["first"])

    def spread(self, *, on: bool) -> None:
        self._ask("POST", "/spread", {"on": on})

    def counts(self) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("GET", "/counts")
        return found

    def wait_reported(self, number: int, timeout_s: float = 120.0) -> None:
        """Until so many tasks have been reported since the stub's start."""
        self._wait(f"/wait/{number}", timeout_s)

    def wait_heartbeats(self, number: int, timeout_s: float = 120.0) -> None:
        self._wait(f"/wait-heartbeats/{number}", timeout_s)

    def wait_open(self, number: int, timeout_s: float = 60.0) -> None:
        """Until so many polls are held."""
        deadline = time.monotonic() + timeout_s
        while (opened := self.counts()["open"]) < number:
            if time.monotonic() > deadline:
                raise BenchError(f"{opened} polls are open, and {number} were to be")
            time.sleep(0.1)

    def figures(self, since: int) -> list[Task]:
        return [Task(*row) for row in self._ask("GET", f"/figures/{since}")]

    def stop(self) -> None:
        self._process.stop()

    def _wait(self, path: str, timeout_s: float) -> None:
        try:
            self._ask("GET", path, timeout_s=timeout_s)
        except TimeoutError:
            raise BenchError(
                f"the work was not done after {timeout_s:.0f} s: {path}, {self.counts()}"
            ) from None

    def _ask(self, method: str, path: str, body: Any = None, timeout_s: float = 60.0) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()
