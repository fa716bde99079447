"""A TCP server that records what its clients send, and checks of a client's socket."""

from __future__ import annotations

import socket
import socketserver
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.faults.proxy import Proxy

SILENCE_S = 0.2
"""How long ``assert_silent`` listens."""


class Recorder(socketserver.ThreadingTCPServer):
    """A server that records the bytes of each connection and how it ended.

    Attributes:
        seen: The bytes of each connection.
        ends: "eof" or "reset", in the order in which connections ended.
        sockets: The server's sockets.
        reply: Makes the answer to each chunk; at first an echo.
    """

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = self.server_address[1]
        self.seen: list[bytearray] = []
        self.ends: list[str] = []
        self.sockets: list[socket.socket] = []
        self.reply: Callable[[bytes], bytes] = bytes

    @property
    def all_seen(self) -> bytes:
        return b"".join(self.seen)


class _Handler(socketserver.BaseRequestHandler):
    server: Recorder

    def handle(self) -> None:
        seen = bytearray()
        self.server.seen.append(seen)
        self.server.sockets.append(self.request)
        try:
            while data := self.request.recv(65536):
                seen += data
                self.request.sendall(self.server.reply(data))
            self.server.ends.append("eof")
        except ConnectionError:
            self.server.ends.append("reset")


@contextmanager
def connected(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
        yield client


def ask(client: socket.socket, data: bytes = b"ping") -> bytes:
    """Send these bytes; the answer, which has the same length."""
    client.sendall(data)
    return receive(client, len(data))


def receive(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := client.recv(65536)):
        data += more
    return data


def assert_reset(client: socket.socket) -> None:
    """Assert that the connection is reset, now or soon."""
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def assert_refused(proxy: Proxy) -> None:
    """Assert that a new connection is reset, be it before connect() returns."""
    with pytest.raises(ConnectionResetError), connected(proxy) as client:
        client.recv(1)


def assert_silent(client: socket.socket) -> None:
    """Assert that neither bytes nor an end arrive for ``SILENCE_S``."""
    client.settimeout(SILENCE_S)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(10)
