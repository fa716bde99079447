"""Wait for sockets and timers with epoll and nothing else.

For each request asyncio's transports cost about as much CPU as all the rest of the stub, which must
stay below a tenth of the contestants' CPU.
"""

from __future__ import annotations

import heapq
import itertools
import select
import socket
from collections.abc import Callable
from time import monotonic
from typing import Protocol

RECV_BYTES = 1 << 14


class Handler(Protocol):
    """What the loop calls of a connection."""

    def received(self, data: bytes) -> None: ...

    def lost(self) -> None: ...


class Timer:
    """A call at a later time; a cancelled one stays in the heap until then, and does nothing."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    """Accepts connections, reads from them, and makes the calls that are due."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=8_192)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def call_at(self, when: float, call: Callable[[], None]) -> Timer:
        """Call at ``when``, in seconds of the monotonic clock."""
        timer = Timer(call)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def run(self, new: Callable[[socket.socket], Handler]) -> None:
        """Serve for ever; ``new`` makes the handler of each new connection."""
        poll = select.epoll()
        listening = self._listener.fileno()
        poll.register(listening, select.EPOLLIN)
        handlers: dict[int, tuple[Callable[[int], bytes], Callable[[bytes], None]]] = {}
        open_: dict[int, tuple[socket.socket, Handler]] = {}
        timers = self._timers
        while True:
            wait_s = max(0.0, timers[0][0] - monotonic()) if timers else -1.0
            for fd, _ in poll.poll(wait_s, 512):
                if fd == listening:
                    for sock in self._accepted():
                        handler = new(sock)
                        open_[sock.fileno()] = sock, handler
                        handlers[sock.fileno()] = sock.recv, handler.received
                        poll.register(sock.fileno(), select.EPOLLIN)
                    continue
                recv, received = handlers[fd]
                try:
                    data = recv(RECV_BYTES)
                except OSError:
                    data = b""
                if data:
                    received(data)
                else:
                    sock, handler = open_.pop(fd)
                    del handlers[fd]
                    handler.lost()
                    sock.close()
            while timers and timers[0][0] <= monotonic():
                call = heapq.heappop(timers)[2].call
                if call is not None:
                    call()

    def _accepted(self) -> list[socket.socket]:
        accepted: list[socket.socket] = []
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return accepted
            # Blocking: all answers but the figures fit into the socket's buffer.
            sock.setblocking(True)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            accepted.append(sock)
