"""A local SQS: moto's server, in its own process."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Self

from bridge.local.child_processes import clean_environment, die_with_parent, free_port
from tests.waiting import wait_until

HOST = "127.0.0.1"
START_TIMEOUT_S = 60.0


class LocalSQS:
    """SQS on 127.0.0.1, a context manager; it ends with the process that started it."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The value for Celery's ``broker_url``."""
        return f"sqs://local:local-secret@{HOST}:{self.port}//"

    @property
    def endpoint_url(self) -> str:
        """The value for boto3's ``endpoint_url``."""
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "--host", HOST, "--port", str(self.port)],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        wait_until(self._answers, timeout_s=START_TIMEOUT_S, what="moto's SQS answers")
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def _answers(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, "moto's SQS ended"
        try:
            with socket.create_connection((HOST, self.port), timeout=1):
                return True
        except OSError:
            return False
