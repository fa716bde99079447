"""Signature Version 4 of a hot call, by botocore, without what it does only for other calls.

Most of a heartbeat's CPU in our own code goes here. botocore keeps headers in e-mail messages and
copies them twice a signature; plain dictionaries give the same signature for half of the time.
"""

from __future__ import annotations

from typing import Any

from botocore.auth import SigV4Auth
from yarl import URL

from bridge.stepfunctions.aws import Connection


class Signer:
    """Signs calls to one endpoint."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._host = URL(connection.endpoint_url, encoded=True).host_port_subcomponent or ""

    def headers(self, call: str, body: bytes, credentials: Any) -> dict[str, str]:
        """All headers of a call, signed; they go with exactly this body, for five minutes.

        Args:
            call: Name of the call, such as ``"SendTaskHeartbeat"``.
            body: What is posted.
            credentials: Frozen ones, with ``access_key``, ``secret_key`` and ``token``.
        """
        request = _Request(self._connection.endpoint_url, body)
        request.headers = {
            "Host": self._host,
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"AWSStepFunctions.{call}",
        }
        _Auth(credentials, self._connection.signing_name, self._connection.region).add_auth(request)
        return request.headers


class _Request:
    """What SigV4Auth reads and writes of a request."""

    __slots__ = ("body", "context", "headers", "method", "params", "url")

    def __init__(self, url: str, body: bytes) -> None:
        self.method = "POST"
        self.url = url
        self.params: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.body = body
        self.context: dict[str, Any] = {}


class _Headers(dict[str, str]):
    """Headers by lower-case name, each of them once."""

    def get_all(self, name: str) -> tuple[str]:
        return (self[name],)


class _Auth(SigV4Auth):  # type: ignore[misc]
    def headers_to_sign(self, request: _Request) -> _Headers:
        # All that there are: Authorization is added after it, and aiohttp's own are not signed.
        return _Headers((name.lower(), value) for name, value in request.headers.items())
