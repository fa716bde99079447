"""Start the stub as a process, give it work, and read its figures."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench.processes import BenchError, Process, environment, python


class TaskTimes(NamedTuple):
    """The moments of one task; all in Unix seconds of the same machine's clock."""

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
        """Its CPU by its own clock: /proc's steps of 10 ms are too coarse for so little."""
        return float(self.counts()["cpu_s"])

    def create(self, *activities: str) -> None:
        """Create activities."""
        for activity in activities:
            self.schedule(activity, 0)

    def schedule(self, activity: str, count: int, rate: float = 0.0, *, work_ms: int = 0) -> int:
        """Schedule ``count`` tasks, ``rate`` a second (0: all at once); the number of the first.

        Args:
            work_ms: How long each job is to last; only ``timed`` jobs look at it.
        """
        body = {"activity": activity, "count": count, "rate": rate, "work_ms": work_ms}
        return int(self._ask("POST", "/schedule", body)["first"])

    def spread(self, *, on: bool) -> None:
        """Hold each connection's first poll for 0 to 60 s, as if pollers had run for long."""
        self._ask("POST", "/spread", {"on": on})

    def counts(self) -> dict[str, Any]:
        """What the stub has counted so far; see ``bench.stub.tasks.Tasks.counts``."""
        counts: dict[str, Any] = self._ask("GET", "/counts")
        return counts

    def wait_reported(self, count: int, timeout_s: float = 120.0) -> None:
        """Wait until so many tasks have been reported since the stub's start."""
        self._wait(f"/wait/{count}", timeout_s)

    def wait_heartbeats(self, count: int, timeout_s: float = 120.0) -> None:
        """Wait until so many heartbeats have come since the stub's start."""
        self._wait(f"/wait-heartbeats/{count}", timeout_s)

    def wait_open(self, count: int, timeout_s: float = 60.0) -> None:
        """Wait until so many polls are open."""
        deadline = time.monotonic() + timeout_s
        while (opened := self.counts()["open"]) < count:
            if time.monotonic() > deadline:
                raise BenchError(f"only {opened} of {count} polls are open")
            time.sleep(0.1)

    def figures(self, since: int) -> list[TaskTimes]:
        """The moments of each task from number ``since`` on."""
        return [TaskTimes(*row) for row in self._ask("GET", f"/figures/{since}")]

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
