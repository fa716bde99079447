"""Start processes in sessions of their own, measure their CPU and memory, and end them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bridge.local.child_processes import die_with_parent

ROOT = Path(__file__).parent.parent
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
START_TIMEOUT_S = 60.0
REGION = "us-east-1"


class BenchError(Exception):
    """Something to be measured did not start, or did not finish its work."""


@dataclass(frozen=True, slots=True)
class Weight:
    """What processes have used so far.

    Attributes:
        cpu_s: User and system time, including that of children that have ended. The kernel counts
            nanoseconds; /proc rounds to 10 ms a process.
        rss_bytes: Resident memory now. Pages that forked processes share are counted in each.
        threads: Threads now; processes that have ended and are not reaped yet have none.
    """

    cpu_s: float = 0.0
    rss_bytes: int = 0
    threads: int = 0

    def __add__(self, other: Weight) -> Weight:
        return Weight(
            cpu_s=self.cpu_s + other.cpu_s,
            rss_bytes=self.rss_bytes + other.rss_bytes,
            threads=self.threads + other.threads,
        )

    def since(self, before: Weight) -> Weight:
        """The CPU used since ``before``; memory and threads as they are now."""
        return replace(self, cpu_s=self.cpu_s - before.cpu_s)


def weigh(*sessions: int) -> Weight:
    """What all processes of these sessions have used.

    Source: proc(5), /proc/pid/stat: fields 6 session, 14-17 utime stime cutime cstime,
    20 num_threads, 24 rss.
    """
    total = Weight()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_bytes().rpartition(b") ")[2].split()
        except OSError:  # the process has ended
            continue
        if int(fields[3]) in sessions:
            ticks = sum(int(field) for field in fields[11:15])
            threads = 0 if fields[0] == b"Z" else int(fields[17])
            total += Weight(
                cpu_s=ticks * TICK_S, rss_bytes=int(fields[21]) * _PAGE_BYTES, threads=threads
            )
    return total


class Process:
    """A process in a session of its own, which ends with this process."""

    def __init__(
        self,
        name: str,
        args: list[str],
        *,
        env: Mapping[str, str],
        folder: Path,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as out:
            self.popen = subprocess.Popen(
                args,
                env=dict(env),
                cwd=folder,
                stdin=stdin,
                stdout=stdout or out,
                stderr=out,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def wait_for_log(self, text: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the process's log contains ``text``."""
        deadline = time.monotonic() + timeout_s
        while text not in (log := self.log.read_text(errors="replace")):
            if self.popen.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.splitlines()[-15:])
                raise BenchError(f"{self.name} is not ready (status {self.popen.poll()}):\n{tail}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill the whole session: no process of the bench has anything to lose."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def python(*args: str) -> list[str]:
    """A command of this Python."""
    return [sys.executable, *args]


def environment(endpoint: str, **more: str) -> dict[str, str]:
    """This process's environment, with invalid credentials, and nothing of other deployments."""
    removed = ("AWS_", "BRIDGE_", "CELERY_", "PYTHON", "COVERAGE")
    env = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    return env | {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench-secret",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL_SFN": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        **more,
    }
