"""A local RabbitMQ from Debian's package, with its own node, ports, data, cookie and epmd.

Debian's wrapper would run it as another user, and Debian's service would share its epmd. So this
calls the package's script directly, and names every file and port that it uses.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from amqp import Connection
from amqp.exceptions import PreconditionFailed

from bridge.local.child_processes import die_with_parent, free_port
from tests.waiting import wait_until

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_TIMEOUT_S = 60.0
LOOPBACK = "127.0.0.1"
GREETING = b"AMQP\x00\x00\x09\x01"


def rabbitmq_missing() -> str:
    """Why RabbitMQ cannot be started here; empty if it can."""
    if SERVER.exists() and shutil.which("epmd"):
        return ""
    return f"no {SERVER} here: install Debian's package rabbitmq-server"


class RabbitMQ:
    """RabbitMQ on 127.0.0.1, without plugins; a context manager.

    It ends with the process that started it. Its port and its data stay the same after ``kill`` and
    ``restart``; ``stop`` deletes the data.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self._distribution_port = free_port()
        self._epmd_port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="rabbitmq-", ignore_cleanup_errors=True)
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The value for ``CELERY_BROKER_URL``."""
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}//"

    @property
    def log(self) -> str:
        """The last lines of the server's logs."""
        files = sorted(Path(self._folder.name).glob("*.log"))
        return "\n".join(file.read_text(errors="replace")[-4000:] for file in files)

    def start(self) -> Self:
        """Start it with its data, and wait until it accepts connections."""
        if self._epmd is None:
            self._epmd = self._spawn(
                "epmd", "-port", str(self._epmd_port), "-address", LOOPBACK, log="epmd.log"
            )
            # Before the server, which would start its own epmd and leave it running.
            wait_until(lambda: _answer(self._epmd_port) is not None, what="epmd listens")
        self._server = self._spawn(str(SERVER), log="server.log")
        wait_until(self._is_up, timeout_s=START_TIMEOUT_S, what="RabbitMQ answers")
        return self

    def kill(self) -> None:
        """Kill -9 the server; ``start`` starts it again with its data."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the server with SIGTERM, and start it again with its data."""
        self._end(signal.SIGTERM)
        self.start()

    def stop(self) -> None:
        """End the server and its epmd, and delete its data."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None
        self._folder.cleanup()

    def delete_queues(self, *names: str) -> None:
        """Delete these queues and their messages, if they exist."""
        with Connection(f"{LOOPBACK}:{self.port}") as connection:
            for name in names:
                connection.channel().queue_delete(name)

    def waiting(self, name: str) -> int:
        """How many messages are in this queue, not counting those that a consumer holds."""
        with Connection(f"{LOOPBACK}:{self.port}") as connection:
            return int(connection.channel().queue_declare(name, passive=True).message_count)

    def queue_type(self, name: str) -> str:
        """Whether this durable queue is "classic" or "quorum"."""
        with Connection(f"{LOOPBACK}:{self.port}") as connection:
            try:
                arguments = {"x-queue-type": "quorum"}
                connection.channel().queue_declare(
                    name, durable=True, auto_delete=False, arguments=arguments
                )
            except PreconditionFailed:
                return "classic"
        return "quorum"

    def _spawn(self, *args: str, log: str) -> subprocess.Popen[bytes]:
        folder = Path(self._folder.name)
        with (folder / log).open("ab") as out:
            return subprocess.Popen(
                args,
                env=self._env(folder),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def _env(self, folder: Path) -> dict[str, str]:
        theirs = ("ERL_", "RABBITMQ_")
        env = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
        return env | {
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "HOME": str(folder),  # the Erlang cookie
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),  # else /etc/rabbitmq/rabbitmq-env.conf
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODENAME": f"bridge{self.port}@localhost",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"
            ),
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the server: signals reach it
        }

    def _is_up(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, f"RabbitMQ ended:\n{self.log}"
        return _answer(self.port, GREETING) == b"\x01"  # a method frame, with which it greets

    def _end(self, number: int) -> None:
        if self._server is not None and self._server.poll() is None:
            os.killpg(self._server.pid, number)
            self._server.wait(START_TIMEOUT_S)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()


def _answer(port: int, sent: bytes = b"") -> bytes | None:
    """The first byte of the answer, empty if nothing was sent; None if nothing listens."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as probe:
            probe.sendall(sent)
            return probe.recv(1) if sent else b""
    except OSError:
        return None
