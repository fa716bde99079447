"""``python -m bridge.healthcheck``: would a restart help this container? Exit status 1: it would.

It asks what others see of the process: its lease in the store, beat's passes, Flower's answer. A
store that does not answer is no fault of the process: restarting every worker because Redis is away
would lose all that they run, so then nothing is found wrong.

Started every minute for ever, so it loads neither the app nor what runs it.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.store.health import Signs

ANSWER_TIMEOUT_S = 2.0
DEADLINE_S = 6.0
"""Below the time-out of the container's health check, which would count as unhealthy."""
STALE_S = 30.0
"""A pass begins every tick; while Step Functions hangs, those that are on hold up the next."""
SYSTEM_QUEUE = "bridge.system"
"""As in the registry, which would load Celery here."""
ROLES = ("poll", "worker", "beat", "flower")


class Sick(Exception):
    """The process does not do its work; says how that shows."""


class Unknown(Exception):
    """Nothing can be said about the process, so nothing is said against it."""


@dataclass(frozen=True, slots=True)
class Process:
    """The process that the container was started for.

    Attributes:
        pid: 0: there is no /proc to look for it in.
        args: Of celery: what follows that word.
    """

    pid: int
    args: tuple[str, ...]

    @property
    def role(self) -> str:
        """One of ``ROLES``; empty: another command.

        A worker with ``-B`` on other queues is the beat of an app's own periodic tasks.
        """
        role = next((arg for arg in self.args if arg in ROLES), "")
        if role == "worker" and {"-B", "--beat"} & {*self.args}:
            served = self.option("-Q", "--queues").split(",")
            return "beat" if SYSTEM_QUEUE in served else role
        return role

    def option(self, *names: str, default: str = "") -> str:
        """The value of an option of the command line, given in any of its ways."""
        for arg, following in zip_longest(self.args, self.args[1:], fillvalue=""):
            name, equals, value = arg.partition("=")
            if name in names:
                return value if equals else following
        return default


def find_process(pid: int) -> Process:
    """The celery process at ``pid``, or below it: an init or a shell may have started it.

    Raises:
        Sick: No such process.
    """
    if not Path("/proc/self/cmdline").exists():  # no Linux
        return Process(0, ())
    waiting = deque([pid])
    while waiting:
        at = waiting.popleft()
        args = celery_args(_command_line(at))
        if args is not None:
            return Process(at, tuple(args))
        waiting.extend(children_of(at))
    if _living(pid) is None:  # an empty command line says less: one that begins has it, too
        raise Sick(f"process {pid} has ended")
    return Process(pid, ())


def celery_args(command_line: list[str]) -> list[str] | None:
    """What follows "python …/bin/celery" or "python -m celery"; None: this is no celery process.

    "/sbin/docker-init -- celery …" is none: it has started one.
    """
    names = [Path(arg).name for arg in command_line[:5]]
    if "celery" not in names or not names[0].startswith(("celery", "python", "pypy")):
        return None
    return command_line[names.index("celery") + 1 :]


def children_of(pid: int) -> list[int]:
    """Living children of a process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        child = int(folder.name)
        if _living(child) == pid:
            found.append(child)
    return found


def _living(pid: int) -> int | None:
    """The parent of a living process; None: it has ended."""
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


def check_poll(process: Process, signs: Signs) -> str:
    """The poller renews its lease within a third of it, also while it drains."""
    name = f"{socket.gethostname()[:60]}-"  # see installation.process_name
    if process.pid:
        name += f"{process.pid}-"
    return _lease("poller", signs.pollers, lambda poller: poller.startswith(name))


def check_worker(process: Process, signs: Signs) -> str:
    """A worker renews its lease until its last job has ended."""
    node = node_name(process)
    return _lease("worker", signs.workers, lambda worker: worker.rpartition("#")[0] == node)


def check_beat(process: Process, signs: Signs) -> str:
    """Its worker's lease, the process that ticks below it, and that passes begin.

    A poller begins passes too when no beat does: alone they would prove nothing.
    """
    if process.args and "worker" not in process.args:
        raise Unknown("a beat without a worker renews no lease")
    said = check_worker(process, signs)
    if process.pid and not children_of(process.pid):
        raise Sick("the process that ticks has ended: this worker's beat schedules nothing")
    age_s = signs.passes.get("heartbeat")
    if age_s is None or age_s > STALE_S:
        ago = "never" if age_s is None else f"{age_s:.0f} s ago"
        raise Sick(f"the last pass of heartbeats began {ago}")
    return f"{said}, the last pass began {age_s:.1f} s ago"


def node_name(process: Process) -> str:
    """Celery's name of this worker; see celery.utils.nodenames."""
    host = socket.gethostname()
    short, _, domain = host.partition(".")
    name, _, node = process.option("-n", "--hostname").rpartition("@")
    text = f"{name or 'celery'}@{node or host}"
    for letter, value in {"%h": host, "%n": short, "%d": domain}.items():
        text = text.replace(letter, value)
    return text


def _lease(kind: str, leases: Mapping[str, float], ours: Callable[[str], bool]) -> str:
    left_s = max((left for name, left in leases.items() if ours(name)), default=None)
    if left_s is None:
        raise Sick(f"this {kind} has no lease in the store")
    if left_s < 0:
        raise Sick(f"this {kind}'s lease has ended {-left_s:.0f} s ago")
    return f"lease for {left_s:.1f} s"


def check_flower(process: Process) -> str:
    """Flower answers at /healthcheck, without a password."""
    import http.client

    if process.option("--certfile") or process.option("--unix_socket", "--unix-socket"):
        raise Unknown("Flower with TLS or on a Unix socket is not asked")
    environ = os.environ.get
    port = process.option("--port", default=environ("FLOWER_PORT", "5555"))
    address = process.option("--address", default=environ("FLOWER_ADDRESS", ""))
    prefix = process.option(
        "--url_prefix", "--url-prefix", default=environ("FLOWER_URL_PREFIX", "")
    )
    path = f"/{prefix.strip('/')}/healthcheck".replace("//", "/")
    host = "127.0.0.1" if address in ("", "0.0.0.0", "::") else address  # noqa: S104 (compared)
    connection = http.client.HTTPConnection(host, int(port), timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except OSError as exc:
        raise Sick(f"Flower does not answer at {host}:{port}: {exc}") from None
    finally:
        connection.close()
    if status != http.client.OK:
        raise Sick(f"Flower answers {status} at {path}")
    return f"Flower answers at {host}:{port}"


def check(role: str, pid: int) -> str:
    """What speaks for the process.

    Args:
        role: One of ``ROLES``; empty: what its command line says.

    Raises:
        Sick: A restart would help.
        Unknown: Nobody can say.
    """
    process = find_process(pid)
    role = role or process.role
    if not role:
        raise Unknown("this is no poller, worker, beat or Flower")
    if role == "flower":
        return check_flower(process)
    # Not above: Flower's check needs none of it.
    from bridge.errors import SchemaMismatch, SettingsError, StoreUnavailable
    from bridge.settings import load
    from bridge.store.health import read_signs

    try:
        settings = load(derive_store=lambda: store_of(process))
        signs = read_signs(settings, timeout_s=ANSWER_TIMEOUT_S)
    except (SchemaMismatch, StoreUnavailable) as exc:
        raise Unknown(str(exc)) from None
    except SettingsError as exc:
        raise Sick(str(exc)) from None
    checks = {"poll": check_poll, "worker": check_worker, "beat": check_beat}
    return checks[role](process, signs)


def store_of(process: Process) -> str:
    """The claim store's URL, from what the environment and the command line say of the broker.

    Raises:
        Unknown: The app alone knows it, and the app is not loaded here.
    """
    from bridge.addresses.broker import Broker, store_url_of, store_url_without_kombu
    from bridge.errors import SettingsError
    from bridge.settings import DEFAULT_BROKER_URL

    environ = os.environ.get
    broker = process.option("-b", "--broker") or environ("CELERY_BROKER_URL", "")
    if not broker and process.option("-A", "--app") in ("", "bridge", "bridge.celery"):
        broker = DEFAULT_BROKER_URL
    read = environ("CELERY_BROKER_READ_URL") or broker
    write = environ("CELERY_BROKER_WRITE_URL") or broker
    try:
        if not (read and write):
            raise SettingsError("Neither BRIDGE_STORE_URL nor CELERY_BROKER_URL is set.")
        if read == write and (url := store_url_without_kombu(read)):
            return url
        from kombu import Connection

        return store_url_of(Broker(read, Connection), Broker(write, Connection))
    except SettingsError as exc:
        raise Unknown(f"{exc} The app is not loaded here: set BRIDGE_STORE_URL.") from None


def main() -> int:
    """Check, say what was found, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bridge.healthcheck", description=__doc__)
    parser.add_argument(
        "role",
        nargs="?",
        default="",
        choices=["", *ROLES],
        help="default: what the process's command line says",
    )
    parser.add_argument("--pid", type=int, default=1, help="default: 1, the container's first")
    options = parser.parse_args()
    answers = [(0, f"not known: no answer within {DEADLINE_S:.0f} s")]

    def ask() -> None:
        try:
            answers.append((0, "healthy: " + check(options.role, options.pid)))
        except Sick as exc:
            answers.append((1, f"unhealthy: {exc}"))
        except Exception as exc:  # noqa: BLE001 (a check that fails says nothing about the process)
            kind = "" if isinstance(exc, Unknown) else f"{type(exc).__name__}: "
            answers.append((0, f"not known: {kind}{exc}"))

    # Name resolution has no time-out of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    status, text = answers[-1]
    sys.stdout.write(f"{text}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
