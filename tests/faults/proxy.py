"""A TCP proxy whose connections tests can cut, freeze, delay and reset.

It runs in an event loop in a daemon thread. Every control may be called from any thread; when it
returns, it is in force for open and for new connections. A reset is a real RST, never an orderly
end; both sides get it unless a docstring says otherwise.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

LINGER_S = 5.0
"""How long the server may still read and answer once its client was reset."""
_RST_ON_CLOSE = struct.pack("ii", 1, 0)


class Fault:
    """A fault that waits for some connections; ``remove`` withdraws it.

    Args:
        among: The list that contains it while it is in force.
        count: How often it happens; None means until it is removed.
    """

    def __init__(self, proxy: Proxy, among: list[Any], count: int | None) -> None:
        self.hits = 0
        """How often it has happened."""
        self._proxy, self._among, self._count = proxy, among, count

    def remove(self) -> None:
        """End it; harmless when it has ended."""
        self._proxy.run(self._end)

    def hit(self) -> None:
        self.hits += 1
        if self.hits == self._count:
            self._end()

    def _end(self) -> None:
        with suppress(ValueError):
            self._among.remove(self)


class Drop(Fault):
    """Loses the connection of a client that sends ``match``, which may span chunks."""

    def __init__(
        self, proxy: Proxy, *, match: bytes, count: int, lose: Callable[[Link, bytes], None]
    ) -> None:
        super().__init__(proxy, proxy.drops, count)
        self._match, self._lose = match, lose
        self._tails: WeakKeyDictionary[Link, bytes] = WeakKeyDictionary()

    def takes(self, link: Link, data: bytes) -> bool:
        """Whether the fault handled these bytes of the client, so that they are not forwarded."""
        seen = self._tails.pop(link, b"") + data
        if self._match not in seen:
            self._tails[link] = seen[-len(self._match) :]
            return False
        self.hit()
        self._lose(link, data)
        return True


class Cut(Fault):
    """Loses each connection after a number of bytes from its client."""

    def __init__(self, proxy: Proxy, n_bytes: int, count: int) -> None:
        super().__init__(proxy, proxy.drops, count)
        self._n_bytes = n_bytes
        self._sent: WeakKeyDictionary[Link, int] = WeakKeyDictionary()

    def takes(self, link: Link, data: bytes) -> bool:
        """Whether the fault handled these bytes of the client, so that they are not forwarded."""
        before = self._sent.get(link, 0)
        self._sent[link] = before + len(data)
        if self._sent[link] < self._n_bytes:
            return False
        self.hit()
        link.server.send(data[: self._n_bytes - before])
        link.lose_client()
        return True


class End(asyncio.Protocol):
    """One end of a link: its transport, and the bytes that wait to be sent to it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.peer: End = self
        self.transport: Any = None
        self.full = False
        """Whether its write buffer is full; then the peer is not read from."""
        self._closed = self._read_eof = self._wrote_eof = False
        self._held: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def send(self, data: bytes | None) -> None:
        """Send these bytes after those that are held; None ends the stream."""
        proxy = self.link.proxy
        if proxy.frozen or proxy.delay_s or self._held:
            self._held.append((proxy.loop.time() + proxy.delay_s, data))
            self.flush()
        elif self.open:
            self._write(data)

    def flush(self) -> None:
        """Send the held bytes that are due."""
        proxy = self.link.proxy
        if self._timer:
            self._timer.cancel()
        while self._held and self.open and not proxy.frozen:
            due, data = self._held[0]
            if proxy.delay_s and due > proxy.loop.time():
                self._timer = proxy.loop.call_at(due, self.flush)
                return
            self._held.popleft()
            self._write(data)

    def reset(self) -> None:
        """Close with an RST, unless it is closed already."""
        self.full = False
        if self.transport is not None and not self._closed:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
            self.transport.abort()

    def read_or_wait(self) -> None:
        """Read only if the peer can take more; otherwise the kernel slows the sender down."""
        if self.transport is None:
            return
        if self.link.proxy.frozen or self.peer.transport is None or self.peer.full:
            self.transport.pause_reading()
        elif not self._read_eof:
            self.transport.resume_reading()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.link.connected(self)

    def data_received(self, data: bytes) -> None:
        if self is self.link.client:
            self.link.from_client(data)
        else:
            self.link.from_server(data)

    def eof_received(self) -> bool:
        self._read_eof = True
        if not self.peer.open:
            return False
        self.link.ended(self)
        return True  # the other direction goes on

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed, self.full = True, False
        self._held.clear()
        if exc:
            self.peer.reset()
        self.link.closed()

    def pause_writing(self) -> None:
        self.full = True
        self.peer.read_or_wait()

    def resume_writing(self) -> None:
        self.full = False
        self.peer.read_or_wait()

    def _write(self, data: bytes | None) -> None:
        if data is not None:
            self.transport.write(data)
            return
        self._wrote_eof = True
        self.transport.write_eof()
        if self.peer._wrote_eof:
            self.link.close()


class Link:
    """A client's connection, and the proxy's own connection to the server for it."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.client, self.server = End(self), End(self)
        self.client.peer, self.server.peer = self.server, self.client
        self._connecting: asyncio.Task[None] | None = None
        self._losing: asyncio.TimerHandle | None = None

    def connected(self, end: End) -> None:
        if end is self.client:
            self.proxy.links.add(self)
            if self.proxy.refusing:
                self.reset()
                return
        if not self.client.open:  # it was reset meanwhile
            self.server.reset()
            return
        self.settle()

    def settle(self) -> None:
        """Connect, read and send as far as the proxy's state allows."""
        if not self._connecting and not self.proxy.frozen:
            self._connecting = self.proxy.loop.create_task(self._connect())
        for end in (self.client, self.server):
            end.read_or_wait()
            end.flush()

    async def _connect(self) -> None:
        try:
            await self.proxy.loop.create_connection(lambda: self.server, *self.proxy.target)
        except OSError:
            self.client.reset()

    def from_client(self, data: bytes) -> None:
        for drop in self.proxy.drops.copy():
            if drop.takes(self, data):
                return
        self.server.send(data)

    def from_server(self, data: bytes) -> None:
        if self._losing:
            self.lose_client()
        else:
            self.client.send(data)

    def ended(self, end: End) -> None:
        """Note that this end sends no more."""
        if end is self.server and self._losing:
            self.lose_client()
        else:
            end.peer.send(None)

    def lose_reply(self, within_s: float) -> None:
        """Forward nothing to the client from now on; reset it when the reply comes."""
        self._losing = self.proxy.loop.call_later(within_s, self.lose_client)

    def lose_client(self) -> None:
        """Reset only the client: after a reset the server would not read what it was sent."""
        if self._losing:
            self._losing.cancel()
        if self.client.open:
            self.client.reset()
            self.server.send(None)
            self.server.read_or_wait()
            self.proxy.loop.call_later(LINGER_S + self.proxy.delay_s, self.server.reset)

    def reset(self) -> None:
        if self._connecting:
            self._connecting.cancel()
        self.client.reset()
        self.server.reset()

    def close(self) -> None:
        for end in (self.client, self.server):
            if end.open:
                end.transport.close()

    def closed(self) -> None:
        if not self.client.open and not self.server.open:
            self.proxy.links.discard(self)


class Proxy:
    """A proxy on 127.0.0.1 in front of a server; a context manager.

    Its end raises the proxy's own errors, so that a bug here is not taken for a fault.

    Args:
        port: The proxy's own port; 0 takes a free one.
    """

    link_type: type[Link] = Link

    def __init__(self, server_host: str, server_port: int, *, port: int = 0) -> None:
        self.target = (server_host, server_port)
        self.port = port
        self.loop = asyncio.new_event_loop()
        self.links: set[Link] = set()
        self.drops: list[Drop | Cut] = []
        self.refusing = self.frozen = False
        self.delay_s = 0.0
        self.resume = False
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return self.run(lambda: sum(link.client.open for link in self.links))

    def cut(self) -> None:
        """Reset all open connections, once."""
        self.run(self._reset_all)

    def refuse(self) -> None:
        """Reset all connections until ``heal``, new ones as soon as they are accepted."""
        self.run(self._become, refusing=True)

    def freeze(self, *, resume: bool = False) -> None:
        """Forward nothing and close nothing until ``heal``; senders fill the kernel's buffers.

        Args:
            resume: Whether ``heal`` forwards the held bytes. Otherwise it resets all connections,
                as hosts do after a network partition.
        """
        self.run(self._become, frozen=True, resume=resume)

    def delay(self, seconds: float) -> None:
        """Forward each chunk this much later, in both directions, until ``heal``."""
        self.run(self._become, delay_s=seconds)

    def cut_after(self, n_bytes: int, *, count: int = 1) -> Fault:
        """Lose ``count`` connections, each after this many more bytes from its client.

        The server gets exactly these bytes and the end of the stream; the client gets a reset.
        """
        return self._drop(Cut(self, n_bytes, count))

    def drop_next_reply(
        self, match: bytes = b"", *, count: int = 1, within_s: float = 5.0
    ) -> Fault:
        """Lose the answers to ``count`` requests: the server gets each, its client gets a reset.

        The reset is sent at the first byte of an answer, which may belong to an earlier request.

        Args:
            match: Bytes that the request contains.
            within_s: Seconds until the reset if there is no answer: a publish may have none.
        """

        def lose(link: Link, data: bytes) -> None:
            link.lose_reply(within_s)
            link.server.send(data)

        return self._drop(Drop(self, match=match, count=count, lose=lose))

    def drop_next_request(self, match: bytes = b"", *, count: int = 1) -> Fault:
        """Lose ``count`` requests: reset both sides before the server gets the chunk.

        Args:
            match: Bytes that the request contains; the last of them never reaches the server.
        """
        return self._drop(Drop(self, match=match, count=count, lose=lambda link, _: link.reset()))

    def swallow_next_request(self, match: bytes = b"", *, count: int = 1) -> Fault:
        """Lose ``count`` requests and keep their connections: the client waits for an answer.

        Args:
            match: Bytes that the request contains.
        """
        return self._drop(Drop(self, match=match, count=count, lose=lambda link, _: None))

    def heal(self) -> None:
        """End all faults, and forward the bytes that were delayed."""
        self.run(self._heal)

    def run(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call this in the event loop; returns when its resets have been sent."""
        if threading.current_thread() is self._thread:
            return work(*args, **kwargs)

        async def task() -> T:
            result = work(*args, **kwargs)
            await asyncio.sleep(0)  # abort() closes the socket one turn later
            return result

        return asyncio.run_coroutine_threadsafe(task(), self.loop).result(10)

    def _become(self, **state: Any) -> None:
        vars(self).update(state)
        if self.refusing:
            self._reset_all()
        for link in self.links.copy():
            link.settle()

    def _heal(self) -> None:
        if self.frozen and not self.resume:
            self._reset_all()
        self.drops.clear()
        self._become(refusing=False, frozen=False, delay_s=0.0)

    def _drop(self, drop: Drop | Cut) -> Fault:
        self.run(self.drops.append, drop)
        return drop

    def _reset_all(self) -> None:
        for link in self.links.copy():
            link.reset()

    def __enter__(self) -> Self:
        self.loop.set_exception_handler(self._note)
        self._server = self.loop.run_until_complete(
            self.loop.create_server(
                lambda: self.link_type(self).client, "127.0.0.1", self.port, backlog=1024
            )
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        if self._errors:
            raise self._errors[0]

    async def _stop(self) -> None:
        for listener in self._server.sockets:
            self.loop.remove_reader(listener)
        # A connection just accepted is a task that has not begun: without its server, or cancelled,
        # it would leave its socket open.
        await asyncio.sleep(0)
        self._server.close()
        self.refuse()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        await asyncio.sleep(0)

    def _note(self, _loop: object, context: dict[str, Any]) -> None:
        self._errors.append(context.get("exception") or RuntimeError(context["message"]))
