"""A proxy that reads the calls of Step Functions, and answers, delays or loses some by rules.

Bytes are forwarded unchanged, so the server can check the signature of the client, Host included.
Requests of one connection are handled one after the other, as HTTP/1.1 clients send them. Bodies
have a length or are chunked; an answer may also end with its connection.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple
from uuid import uuid4

from bridge.model import claim_id_of
from tests.faults.proxy import End, Fault, Link, Proxy


@dataclass
class Call:
    """A request, and what the proxy did with it. It keeps neither token nor body."""

    operation: str
    """The operation of the header X-Amz-Target; empty without one."""
    at: float
    """When its last byte arrived, in seconds of ``time.monotonic``."""
    claim_id: str | None
    """Digest of the task token in the request or in its answer."""
    done: str = "forwarded"
    """Or "answered", "throttled", "reset_before", "lost_answer", "hung", "delayed"."""
    status: int | None = None
    """Status of the answer, even if it was lost; None until there is one."""


class Message(NamedTuple):
    """A whole request or response at the start of some bytes."""

    start: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    size: int
    """Bytes, head included."""


Action = Callable[["HttpLink", Call, bytes], None]
"""What the proxy does with a request, given its bytes."""


def answer(
    status: int,
    aws_error_type: str,
    message: str = "",
    *,
    retry_after_s: float | None = None,
    done: str = "answered",
) -> Action:
    """Do not forward it: answer with an error of AWS JSON 1.0.

    Args:
        retry_after_s: The header Retry-After.
        done: The value of ``Call.done``.
    """

    def act(link: HttpLink, call: Call, _: bytes) -> None:
        call.done, call.status = done, status
        link.answer(error_response(status, aws_error_type, message, retry_after_s=retry_after_s))

    return act


def delay(seconds: float) -> Action:
    """Forward it later, even if ``heal`` is called before."""

    def act(link: HttpLink, call: Call, request: bytes) -> None:
        call.done = "delayed"
        link.proxy.loop.call_later(seconds, link.forward, request)

    return act


def forward(link: HttpLink, _: Call, request: bytes) -> None:
    """Forward it at once; later rules do not apply."""
    link.forward(request)


def reset_before(link: HttpLink, call: Call, _: bytes) -> None:
    """Do not forward it: reset both sides."""
    call.done = "reset_before"
    link.reset()


def lose_answer(link: HttpLink, call: Call, request: bytes) -> None:
    """Forward it, but reset the client instead of forwarding the answer."""
    call.done = "lost_answer"
    link.loses_answer = True
    link.forward(request)


def hang(link: HttpLink, call: Call, _: bytes) -> None:
    """Do not forward it; nothing happens until ``heal`` resets both sides."""
    call.done = "hung"
    link.proxy.hung.append(link)


class Rule(Fault):
    """An action for the calls that it applies to."""

    def __init__(
        self,
        proxy: HttpProxy,
        action: Action,
        *,
        count: int | None,
        applies: Callable[[Call], bool],
    ) -> None:
        super().__init__(proxy, proxy.rules, count)
        self.action, self.applies = action, applies


class HttpLink(Link):
    """A link that reads the calls that it forwards."""

    proxy: HttpProxy

    def __init__(self, proxy: HttpProxy) -> None:
        super().__init__(proxy)
        self.loses_answer = False
        self._requests, self._responses = bytearray(), bytearray()
        self._call: Call | None = None
        """The call that has no answer yet."""
        self._waits = False
        """Whether the call is held back: the server must get it before the end of the stream."""
        self._client_ended = False

    def from_client(self, data: bytes) -> None:
        self._requests += data
        self._take_next()

    def from_server(self, data: bytes) -> None:
        self._responses += data
        # Noted before the client gets it, so that a client with an answer finds it in ``calls``.
        answered = self._note_answer()
        if not self.loses_answer:
            super().from_server(data)
        elif answered:
            self.reset()
        if answered:
            self._take_next()

    def ended(self, end: End) -> None:
        if end is self.client and self._waits:
            self._client_ended = True
            return
        if end is self.server:
            self._note_answer(at_end=True)
            if self.loses_answer:
                self.reset()
                return
        super().ended(end)

    def forward(self, request: bytes) -> None:
        """Send the request to the server."""
        if not self.server.open:  # a delay may end after its connection
            return
        self._waits = False
        super().from_client(request)
        if self._client_ended:
            super().ended(self.client)

    def answer(self, response: bytes) -> None:
        """Answer instead of the server."""
        self._call, self._waits = None, False
        self.client.send(response)
        if self._client_ended:
            super().ended(self.client)

    def _take_next(self) -> None:
        while self._call is None and self.client.open:
            message = parse(self._requests)
            if message is None:
                return
            request = bytes(self._requests[: message.size])
            del self._requests[: message.size]
            operation = message.headers.get("x-amz-target", "").rpartition(".")[2]
            self._call = call = Call(operation, time.monotonic(), _claim_id(message.body))
            self._waits = True
            self.proxy.decide(call)(self, call, request)

    def _note_answer(self, *, at_end: bool = False) -> bool:
        """Whether the present call has its whole answer."""
        while self._call is not None:
            message = parse(self._responses, at_end=at_end)
            if message is None:
                return False
            del self._responses[: message.size]
            status = int(message.start.split()[1])
            if status >= 200:  # an interim response: the answer follows
                self._call.claim_id = self._call.claim_id or _claim_id(message.body)
                self._call.status, self._call = status, None
                return True
        self._responses.clear()  # an answer to no call: the server closes an idle connection
        return False


class HttpProxy(Proxy):
    """A proxy in front of Step Functions; the first rule that applies to a call decides.

    Args:
        seed: The seed of the random numbers for ``probability``.
    """

    link_type = HttpLink

    def __init__(self, server_host: str, server_port: int, *, port: int = 0, seed: int = 0) -> None:
        super().__init__(server_host, server_port, port=port)
        self.rules: list[Rule] = []
        self.hung: list[HttpLink] = []
        self._calls: list[Call] = []
        self._random = random.Random(seed)

    @property
    def calls(self) -> list[Call]:
        """All calls so far, in the order in which their last bytes arrived."""
        return self._calls.copy()

    def rule(
        self,
        action: Action,
        *,
        operation: str | None = None,
        count: int | None = None,
        probability: float = 1.0,
    ) -> Rule:
        """Do this to calls until ``heal``, or ``count`` times.

        Args:
            action: ``reset_before``, ``lose_answer``, ``hang``, ``forward``, or what ``answer`` or
                ``delay`` returns.
            operation: As in X-Amz-Target, after the dot; None means any.
            probability: From 0 to 1, for each such call; otherwise the next rule is tried.
        """

        def applies(call: Call) -> bool:
            return operation in (None, call.operation) and (
                probability >= 1 or self._random.random() < probability
            )

        return self._add(Rule(self, action, count=count, applies=applies))

    def throttle(
        self, calls_per_s: float, burst: int, operations: Collection[str] | None = None
    ) -> Rule:
        """Answer calls above a rate with a ThrottlingException, until ``heal``.

        Args:
            burst: Size of the token bucket, which is full at first; ``calls_per_s`` refills it.
            operations: The operations that share this bucket; None means all.
        """
        throttled = answer(400, "ThrottlingException", "Rate exceeded", done="throttled")
        tokens, counted_at = float(burst), time.monotonic()

        def applies(call: Call) -> bool:
            nonlocal tokens, counted_at
            if operations is not None and call.operation not in operations:
                return False
            tokens = min(burst, tokens + (call.at - counted_at) * calls_per_s)
            counted_at = call.at
            if tokens < 1:
                return True
            tokens -= 1
            return False

        return self._add(Rule(self, throttled, count=None, applies=applies))

    def decide(self, call: Call) -> Action:
        """Record the call; the action of the first rule that applies to it."""
        self._calls.append(call)
        for rule in self.rules:
            if rule.applies(call):
                rule.hit()
                return rule.action
        return forward

    def _heal(self) -> None:
        self.rules.clear()
        for link in self.hung:
            link.reset()
        self.hung.clear()
        super()._heal()

    def _add(self, rule: Rule) -> Rule:
        self.run(self.rules.append, rule)
        return rule


def error_response(status: int, kind: str, message: str, *, retry_after_s: float | None) -> bytes:
    """An HTTP response with an error, as Step Functions sends it."""
    body = json.dumps({"__type": kind, "message": message}).encode()
    headers = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"x-amzn-RequestId: {uuid4()}",
        f"x-amzn-ErrorType: {kind}",
        "Content-Type: application/x-amz-json-1.0",
        f"Content-Length: {len(body)}",
    ]
    if retry_after_s is not None:
        headers.append(f"Retry-After: {retry_after_s:g}")
    return "\r\n".join([*headers, "", ""]).encode() + body


def parse(data: bytearray, *, at_end: bool = False) -> Message | None:
    """The first message in these bytes; None while it is not whole.

    Args:
        at_end: Whether no more bytes will come, which completes a response of unknown length.
    """
    head_size = data.find(b"\r\n\r\n") + 4
    if head_size < 4:
        return None
    start, *lines = data[: head_size - 4].decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _chunked(data, start=start, headers=headers, position=head_size)
    if "content-length" in headers:
        size = head_size + int(headers["content-length"])
    else:
        status = start.split()[1] if start.startswith("HTTP/") else "204"
        bodiless = status in ("204", "304") or status[0] == "1"
        size = head_size if bodiless else len(data) + (not at_end)
    if size > len(data):
        return None
    body = bytes(data[head_size:size])
    return Message(start=start, headers=headers, body=body, size=size)


def _chunked(
    data: bytearray, *, start: str, headers: dict[str, str], position: int
) -> Message | None:
    body = b""
    while (line_end := data.find(b"\r\n", position)) >= 0:
        size = int(data[position:line_end].partition(b";")[0], 16)
        position = line_end + 2
        if size == 0:  # trailers, and an empty line
            end = data.find(b"\r\n\r\n", line_end)
            if end < 0:
                return None
            return Message(start=start, headers=headers, body=body, size=end + 4)
        body += data[position : position + size]
        position += size + 2
    return None


def _claim_id(body: bytes) -> str | None:
    with suppress(ValueError, TypeError, KeyError):
        return claim_id_of(json.loads(body)["taskToken"])
    return None
