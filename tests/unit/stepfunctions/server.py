"""A scriptable Step Functions on a real socket, in a thread of its own.

It checks every signature by computing it again with botocore, records what it was asked, and
answers as told: in order, each call's answers from its own queue; when that is empty, with ``{}``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

ACCOUNT = "123456789012"
REGION = "eu-west-1"
KEYS = {"AKIDEXAMPLE": "not-a-real-secret"}
"""Access key → secret key that the server accepts."""

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Call:
    """One request as it arrived."""

    name: str
    fields: dict[str, Any] = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at: float
    """Seconds on the server's clock."""
    connection: int
    """Tells connections apart."""
    access_key: str


class Threaded:
    """Runs something in an event loop of its own thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def stop(self) -> None:
        self.run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Server(Threaded):
    """The server; ``script`` tells it what to answer, ``calls`` what it was asked."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.keys = dict(KEYS)
        self.calls: list[Call] = []
        self.bad_signatures: list[str] = []
        self.expect_bad_signatures = False
        self.answers: dict[str, deque[Answer]] = defaultdict(deque)
        self.defaults: dict[str, Answer] = {}
        self.open = 0
        """Requests being answered."""
        self._connections: dict[Any, int] = {}
        self._scheme = "https" if tls else "http"
        self._runner = web.AppRunner(self._app(), handler_cancellation=True, shutdown_timeout=0.1)
        self.port = self.run(self._start(tls))

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def script(self, call: str, *answers: Answer) -> None:
        """The next answers to this call."""
        self.answers[call].extend(answers)

    def of(self, name: str) -> list[Call]:
        return [call for call in self.calls if call.name == name]

    def close(self) -> None:
        self.run(self._runner.cleanup())
        self.stop()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=2**22)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _start(self, tls: ssl.SSLContext | None) -> int:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls, backlog=1024)
        await site.start()
        return self._runner.addresses[0][1]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        name = request.headers.get("X-Amz-Target", "").removeprefix("AWSStepFunctions.")
        connection = self._connections.setdefault(request.transport, len(self._connections))
        self.open += 1
        try:
            self.calls.append(
                Call(
                    name,
                    json.loads(body or b"{}"),
                    dict(request.headers),
                    body,
                    self.loop.time(),
                    connection,
                    _access_key(request),
                )
            )
            if problem := self._check(request, body):
                self.bad_signatures.append(problem)
                return await error("InvalidSignatureException", message=problem)(request)
            if self.answers[name]:
                return await self.answers[name].popleft()(request)
            return await self.defaults.get(name, ok())(request)
        finally:
            self.open -= 1

    def _check(self, request: web.Request, body: bytes) -> str:
        """What is wrong with the signature; empty when nothing is."""
        authorization = request.headers.get("Authorization", "")
        scheme, _, rest = authorization.partition(" ")
        if scheme != "AWS4-HMAC-SHA256":
            return f"not signed: {authorization!r}"
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        access_key, _, region, service, _ = parts["Credential"].split("/")
        signed = parts["SignedHeaders"].split(";")
        must = {"host", "content-type", "x-amz-date", "x-amz-target"}
        if "X-Amz-Security-Token" in request.headers:
            must.add("x-amz-security-token")
        if not must <= set(signed):
            return f"only {signed} are signed"
        if access_key not in self.keys:
            return f"unknown access key {access_key}"
        again = AWSRequest(
            "POST",
            f"{self._scheme}://{request.headers['Host']}{request.path_qs}",
            data=body,
            headers={name: request.headers[name] for name in signed},
        )
        again.context["timestamp"] = request.headers["X-Amz-Date"]
        signer = SigV4Auth(
            ReadOnlyCredentials(access_key, self.keys[access_key], None, None), service, region
        )
        expected = signer.signature(
            signer.string_to_sign(again, signer.canonical_request(again)), again
        )
        if service != "states" or expected != parts["Signature"]:
            return f"the signature does not match: {parts}"
        if request.headers["Content-Type"] != "application/x-amz-json-1.0":
            return f"Content-Type {request.headers['Content-Type']}"
        return ""


def _access_key(request: web.Request) -> str:
    return request.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]


def ok(fields: dict[str, Any] | None = None) -> Answer:
    """The usual answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        text = json.dumps(fields or {}, separators=(",", ":"))
        return web.Response(text=text, content_type="application/x-amz-json-1.0")

    return answer


def task(token: str, text: str = "{}") -> Answer:
    """The answer to a poll that brings a task."""
    return ok({"taskToken": token, "input": text})


def error(
    code: str,
    *,
    status: int = 400,
    message: str = "",
    header: bool = False,
    namespace: str = "com.amazonaws.swf.service.v2.model#",
    headers: dict[str, str] | None = None,
) -> Answer:
    """An error of AWS; its code stands in the body, or in a header."""

    async def answer(request: web.Request) -> web.StreamResponse:
        fields = (
            {"message": message} if header else {"__type": namespace + code, "Message": message}
        )
        extra = {"x-amzn-ErrorType": f"{code}:http://internal.amazon.com/coral/"} if header else {}
        return web.json_response(fields, status=status, headers=extra | (headers or {}))

    return answer


def raw(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Just these bytes."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=headers)

    return answer


def late(seconds: float, then: Answer | None = None) -> Answer:
    """The same, later."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await (then or ok())(request)

    return answer


def when(event: threading.Event, then: Answer | None = None) -> Answer:
    """The same, once the event is set."""

    async def answer(request: web.Request) -> web.StreamResponse:
        while not event.is_set():
            await asyncio.sleep(0.01)
        return await (then or ok())(request)

    return answer


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer, as a server does that finds it idle."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def reset(request: web.Request) -> web.StreamResponse:
    """Reset the connection."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def truncated(body: bytes, missing: int = 10) -> Answer:
    """Promise a longer body, and hang up."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(body) + missing)})
        await response.prepare(request)
        await response.write(body)
        assert request.transport is not None
        request.transport.close()
        return response

    return answer


class Proxy(Threaded):
    """An HTTP proxy that knows CONNECT only, and leads everywhere to one port of this machine."""

    def __init__(self, port: int, login: str = "") -> None:
        super().__init__()
        self.asked: list[str] = []
        self._to = port
        self._login = base64.b64encode(login.encode()).decode()
        self._server = self.run(asyncio.start_server(self._handle, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self._server.close)
        self.stop()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.split("\r\n")[0])
        if self._login and f"Proxy-Authorization: Basic {self._login}" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
