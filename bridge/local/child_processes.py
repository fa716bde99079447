"""Child processes: started, waited for, and ended with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.errors import BridgeError

CELERY = (sys.executable, "-m", "celery", "-A", "bridge")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
_PR_SET_PDEATHSIG = 1


class ProcessFailed(BridgeError):
    """A process did not get ready, or ended too early; says why, and where its log is."""


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """For ``preexec_fn``: SIGTERM for this child when its parent ends, in whatever way (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def clean_environment() -> dict[str, str]:
    """Ours without what points at other deployments: the local parts touch only themselves."""
    ours = ("AWS_", "BRIDGE_", "CELERY_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    scripts = str(Path(sys.executable).parent)
    env["PATH"] = scripts + os.pathsep + env.get("PATH", "")
    env["PYTHONUNBUFFERED"] = "1"
    return env


@contextmanager
def background(
    args: list[str], *, env: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, writing to ``log``; it has ended when the context has."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            args,
            env=dict(env),
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_ready(ready: Callable[[], Any], process: subprocess.Popen[bytes], *, log: Path) -> Any:
    """The first true answer of ``ready``.

    Raises:
        ProcessFailed: The process ended before, or was not ready within ``START_TIMEOUT_S``.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            tail = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-15:])
            raise ProcessFailed(f"it ended with status {process.returncode}; {log}:\n{tail}")
        value = ready()
        if value:
            return value
        time.sleep(0.1)
    raise ProcessFailed(f"it was not ready within {START_TIMEOUT_S:.0f} s; see {log}")


def listens(port: int) -> bool:
    """Whether something listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
