"""Find the celery process of a container, and what its command line says of it."""

from __future__ import annotations

import socket
from collections import deque
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from bridge.healthcheck.verdict import Unhealthy

SYSTEM_QUEUE = "bridge.system"
"""The same name as in bridge.registry, which would load Celery."""
ROLES = ("poll", "worker", "beat", "flower")


@dataclass(frozen=True, slots=True)
class CeleryProcess:
    """The process that the container runs.

    Attributes:
        pid: 0 if there is no /proc to find it in.
        args: The arguments of celery; empty if they are not known.
    """

    pid: int
    args: tuple[str, ...]

    @property
    def role(self) -> str:
        """One of ``ROLES``; empty for another command.

        A worker with ``-B`` that does not serve the bridge's own queue is a "worker": its beat
        publishes the app's own periodic tasks.
        """
        role = next((arg for arg in self.args if arg in ROLES), "")
        if role == "worker" and {"-B", "--beat"} & {*self.args}:
            served = self.option("-Q", "--queues").split(",")
            return "beat" if SYSTEM_QUEUE in served else role
        return role

    def option(self, *names: str, default: str = "") -> str:
        """The value of an option, given as ``--name value`` or ``--name=value``."""
        for arg, following in zip_longest(self.args, self.args[1:], fillvalue=""):
            name, equals, value = arg.partition("=")
            if name in names:
                return value if equals else following
        return default

    @property
    def node_name(self) -> str:
        """Celery's name of this worker; see celery.utils.nodenames."""
        host = socket.gethostname()
        short, _, domain = host.partition(".")
        name, _, node = self.option("-n", "--hostname").rpartition("@")
        text = f"{name or 'celery'}@{node or host}"
        for letter, value in {"%h": host, "%n": short, "%d": domain}.items():
            text = text.replace(letter, value)
        return text


def find_process(pid: int) -> CeleryProcess:
    """The celery process with this id, or among its children: an init or a shell may start it.

    Raises:
        Unhealthy: There is no such process.
    """
    if not Path("/proc/self/cmdline").exists():  # not Linux
        return CeleryProcess(0, ())
    waiting = deque([pid])
    while waiting:
        at = waiting.popleft()
        args = celery_args(_command_line(at))
        if args is not None:
            return CeleryProcess(at, tuple(args))
        waiting.extend(children_of(at))
    # An empty command line does not mean that it has ended: a process that starts has one, too.
    if living_parent(pid) is None:
        raise Unhealthy(f"process {pid} has ended")
    return CeleryProcess(pid, ())


def celery_args(command_line: list[str]) -> list[str] | None:
    """The arguments after "python …/bin/celery" or "python -m celery"; None for other commands.

    "/sbin/docker-init -- celery …" is another command: the process that it has started is celery.
    """
    names = [Path(arg).name for arg in command_line[:5]]
    if "celery" not in names or not names[0].startswith(("celery", "python", "pypy")):
        return None
    return command_line[names.index("celery") + 1 :]


def children_of(pid: int) -> list[int]:
    """The living children of a process."""
    processes = (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    return [process for process in processes if living_parent(process) == pid]


def living_parent(pid: int) -> int | None:
    """The parent of a living process; None if the process has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, parent = text.rpartition(")")[2].split()[:2]
    return None if state in "ZX" else int(parent)


def _command_line(pid: int) -> list[str]:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return raw.decode(errors="replace").split("\0")[:-1]
