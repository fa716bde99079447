"""A RabbitMQ of our own, from Debian's package: its own node, ports, data and epmd."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from bridge.local.processes import die_with_parent, free_port
from tests.waiting import wait_until

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_TIMEOUT_S = 60.0


def missing() -> str:
    """Why RabbitMQ cannot be started here; empty: it can."""
    if SERVER.exists() and shutil.which("epmd"):
        return ""
    return f"no {SERVER} here: install Debian's package rabbitmq-server"


class RabbitMQ:
    """RabbitMQ on 127.0.0.1; a context manager. Ends with the process that started it."""

    def __init__(self) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="rabbitmq-", ignore_cleanup_errors=True)
        self._epmd_port = free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What ``CELERY_BROKER_URL`` has to be."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> Self:
        """Start it on what it had, and wait until it takes connections."""
        folder = Path(self._folder.name)
        env = {
            **os.environ,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "HOME": str(folder),  # the Erlang cookie
            "RUNNING_UNDER_SYSTEMD": "1",  # the script becomes the server: signals reach it
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"bridge{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
        }
        if self._epmd is None:
            self._epmd = subprocess.Popen(
                ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"],
                env=env, preexec_fn=die_with_parent, start_new_session=True)  # fmt: skip
        self._server = subprocess.Popen(
            [str(SERVER)], env=env, cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent, start_new_session=True)  # fmt: skip

        def answers() -> bool:
            assert self._server.poll() is None, "RabbitMQ ended"
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                    probe.sendall(b"AMQP\x00\x00\x09\x01")
                    return probe.recv(1) == b"\x01"
            except OSError:
                return False

        wait_until(answers, timeout_s=START_TIMEOUT_S, what="RabbitMQ answers")
        return self

    def kill(self) -> None:
        """Kill -9; ``start`` brings it back with its data."""
        if self._server is not None and self._server.poll() is None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()

    def stop(self) -> None:
        """End it and its epmd."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
