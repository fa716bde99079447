"""Sign a frequent call with Signature Version 4.

botocore reads the clock, parses the URL and derives the day's key for each call, which was most of
the CPU that a heartbeat took in the bridge's own code. Here all calls go to one URL with the same
few headers, so what they share is made once. Tests check every signature with botocore's.

Source: IAM User Guide, "Create a signed AWS API request".
"""

from __future__ import annotations

import hmac
import time
from hashlib import sha256
from typing import Any, NamedTuple

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from yarl import URL

from bridge.stepfunctions.aws import Connection

_ALGORITHM = "AWS4-HMAC-SHA256"
_CONTENT_TYPE = "application/x-amz-json-1.0"
_SERVICE = "AWSStepFunctions"


class _Day(NamedTuple):
    """The signing key of one day, derived from one secret key."""

    date: str
    secret_key: str
    scope: str
    key: bytes


class Signer:
    """Signs calls to one endpoint."""

    def __init__(self, connection: Connection) -> None:
        url = URL(connection.endpoint_url, encoded=True)
        self._host = url.host_port_subcomponent or ""
        self._region, self._service = connection.region, connection.signing_name
        self._path = _canonical_path(connection)
        self._day = _Day("", "", "", b"")

    def headers(self, call: str, body: bytes, credentials: Any) -> dict[str, str]:
        """All headers of a call, with its signature, which holds for this body and five minutes.

        Args:
            call: Name of the call, such as ``"SendTaskHeartbeat"``.
            body: The body of the request.
            credentials: Frozen credentials, with ``access_key``, ``secret_key`` and ``token``.
        """
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {
            "Content-Type": _CONTENT_TYPE,
            "Host": self._host,
            "X-Amz-Date": at,
            "X-Amz-Target": f"{_SERVICE}.{call}",
        }
        if credentials.token:
            headers["X-Amz-Security-Token"] = credentials.token
        lines = sorted((name.lower(), value) for name, value in headers.items())
        signed = ";".join(name for name, _ in lines)
        told = "".join(f"{name}:{value}\n" for name, value in lines)
        request = f"POST\n{self._path}\n{told}\n{signed}\n{sha256(body).hexdigest()}"
        day = self._of_day(at[:8], credentials.secret_key)
        to_sign = f"{_ALGORITHM}\n{at}\n{day.scope}\n{sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(day.key, to_sign.encode(), "sha256").hex()
        headers["Authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{day.scope}, "
            f"SignedHeaders={signed}, Signature={signature}"
        )
        return headers

    def _of_day(self, date: str, secret_key: str) -> _Day:
        if (self._day.date, self._day.secret_key) != (date, secret_key):
            parts = (date, self._region, self._service, "aws4_request")
            key = f"AWS4{secret_key}".encode()
            for part in parts:
                key = hmac.digest(key, part.encode(), "sha256")
            self._day = _Day(date, secret_key, "/".join(parts), key)
        return self._day


def _canonical_path(connection: Connection) -> str:
    """Path and query of the endpoint as they are signed, in two lines; botocore makes them."""
    request = AWSRequest("POST", connection.endpoint_url, data=b"")
    request.context["timestamp"] = ""
    auth = SigV4Auth(None, connection.signing_name, connection.region)
    return "\n".join(auth.canonical_request(request).split("\n")[1:3])
