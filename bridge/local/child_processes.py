"""Start child processes, wait until they are ready, and end them with their parent."""

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
    """A process did not get ready, or ended too early; the message says why and names its log."""


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """For ``preexec_fn``: Linux sends this child SIGTERM when its parent ends, even if killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def clean_environment() -> dict[str, str]:
    """This process's environment, without the variables that point at other deployments."""
    removed = ("AWS_", "BRIDGE_", "CELERY_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    scripts = str(Path(sys.executable).parent)
    env["PATH"] = scripts + os.pathsep + env.get("PATH", "")
    env["PYTHONUNBUFFERED"] = "1"
    return env


@contextmanager
def background(
    args: list[str], *, env: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in a group of its own until the context ends; its output goes to ``log``."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            args,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
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
    """Call ``ready`` until its result is true; that result.

    Raises:
        ProcessFailed: The process ended, or was not ready within ``START_TIMEOUT_S``.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            tail = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-15:])
            raise ProcessFailed(
                f"the process ended with status {process.returncode}; {log}:\n{tail}"
            )
        value = ready()
        if value:
            return value
        time.sleep(0.1)
    raise ProcessFailed(f"the process was not ready within {START_TIMEOUT_S:.0f} s; see {log}")


def listens(port: int) -> bool:
    """Whether something listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
