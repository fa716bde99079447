"""Say which exception of ``bridge.errors`` an answer of Step Functions means, or its absence.

To teach the bridge a new error code of AWS, add it to the table ``_KINDS`` below, with a class of
``bridge.errors``, and a row to tests/unit/stepfunctions/test_aws_errors.py. Two kinds of code stand
outside the table: those that close a task token (``_CLOSED``) and those that mean throttling
(``_THROTTLED``, a pattern). For a code that is in none of these the HTTP status decides: 429 is
``Throttled``, 413 is ``InvalidRequest``, 500 or more is ``ServiceUnavailable``, anything else is
``StepFunctionsError``. An answer without a code is ``ServiceUnavailable``, unless its status is 429
or 413.

What follows from a class: ``client.py`` tries ``Throttled`` and ``ServiceUnavailable`` again within
one call. The loops close a claim after ``TokenClosed``, and try again after every
other error; the reporter reports a failure in place of an outcome that is refused.

Nothing of aiohttp, of json or of the answer's body is chained to the exceptions: it would hold the
signed headers, or a task token.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from bridge.errors import (
    AccessDenied,
    ActivityDoesNotExist,
    ClockSkewed,
    CredentialsUnavailable,
    EncryptionKeyUnavailable,
    InvalidRequest,
    ServiceUnavailable,
    StepFunctionsError,
    Throttled,
    TokenClosed,
    TooManyPollers,
)

# Error code of AWS -> exception.
_KINDS: dict[str, type[StepFunctionsError]] = {
    "AccessDenied": AccessDenied,
    "AccessDeniedException": AccessDenied,
    "NotAuthorized": AccessDenied,
    "OptInRequired": AccessDenied,
    "ActivityDoesNotExist": ActivityDoesNotExist,
    "ActivityWorkerLimitExceeded": TooManyPollers,
    "KmsAccessDeniedException": EncryptionKeyUnavailable,
    "KmsInvalidStateException": EncryptionKeyUnavailable,
    "KmsThrottlingException": EncryptionKeyUnavailable,
    "ExpiredToken": CredentialsUnavailable,
    "ExpiredTokenException": CredentialsUnavailable,
    "IncompleteSignature": CredentialsUnavailable,
    "IncompleteSignatureException": CredentialsUnavailable,
    "InvalidClientTokenId": CredentialsUnavailable,
    "InvalidSignatureException": CredentialsUnavailable,
    "MissingAuthenticationToken": CredentialsUnavailable,
    "MissingAuthenticationTokenException": CredentialsUnavailable,
    "SignatureDoesNotMatch": CredentialsUnavailable,
    "UnrecognizedClientException": CredentialsUnavailable,
    "RequestExpired": ClockSkewed,
    "RequestInTheFuture": ClockSkewed,
    "RequestTimeTooSkewed": ClockSkewed,
    "ActivityLimitExceeded": InvalidRequest,
    "InvalidArn": InvalidRequest,
    "InvalidName": InvalidRequest,
    "InvalidOutput": InvalidRequest,
    "SerializationException": InvalidRequest,
    "TooManyTags": InvalidRequest,
    "ValidationError": InvalidRequest,
    "ValidationException": InvalidRequest,
    "InternalFailure": ServiceUnavailable,
    "InternalServerError": ServiceUnavailable,
    "InternalServerException": ServiceUnavailable,
    "RequestAbortedException": ServiceUnavailable,
    "RequestTimeout": ServiceUnavailable,
    "RequestTimeoutException": ServiceUnavailable,
    "ServiceUnavailable": ServiceUnavailable,
    "ServiceUnavailableException": ServiceUnavailable,
}
_THROTTLED = re.compile(
    r"Throttl.*|TooManyRequests.*|RequestLimitExceeded|RequestThrottled.*"
    r"|BandwidthLimitExceeded|SlowDown|PriorRequestNotComplete"
)
# Codes of heartbeats and reports after which Step Functions takes nothing more for the token.
_CLOSED = frozenset({"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})
# AWS's own load balancers answer with these statuses without a code.
_STATUSES_OF_AWS = frozenset({429, 500, 502, 503, 504})
_SKEW = re.compile(r"signature expired|not yet current|too skewed", re.IGNORECASE)
_LONG_WORD = re.compile(r"[A-Za-z0-9+/=_%-]{12,}")
_MAX_MESSAGE_CHARS = 500


class ConnectionLost(ServiceUnavailable):
    """The server closed the connection; if that was idle, the server may not have seen the call."""


def decode(call: str, content: bytes) -> dict[str, Any]:
    """The JSON object of a good answer; an empty body is an empty object.

    Raises:
        ServiceUnavailable: It is no JSON object, so another server in between has answered.
    """
    if content in (b"{}", b""):
        return {}
    answer = _object(content)
    if answer is None:
        raise ServiceUnavailable(
            f"{call}: the answer is garbled: {len(content)} bytes that are no JSON object."
        )
    return answer


def refusal(
    call: str, status: int, headers: Mapping[str, str], content: bytes, *, token: str = ""
) -> StepFunctionsError:
    """The exception that an answer other than 200 means.

    AWS may quote the call's task ``token``; the exception never does.
    """
    fields = _object(content) or {}
    named = headers.get("x-amzn-ErrorType") or fields.get("__type") or fields.get("code") or ""
    said = fields.get("message") or fields.get("Message") or ""
    said = redact(str(said), token)
    if request_id := headers.get("x-amzn-RequestId"):
        said = f"{said} [request {request_id[:64]}]".strip()
    code = redact(_bare(str(named)), token)
    return translate(call, code, said, status=status, date=headers.get("Date"))


def translate(
    call: str, code: str, said: str, *, status: int, date: str | None = None
) -> StepFunctionsError:
    """The exception that an error code means.

    Args:
        call: Name of the call, such as ``"SendTaskHeartbeat"``.
        code: AWS's error code, bare; empty when the answer has none.
        said: AWS's own message; without a task token.
        status: HTTP status; it decides where the code is unknown or missing.
        date: The answer's Date header, which tells how wrong our clock is.
    """
    kind = _kind(call, code, status)
    if kind is CredentialsUnavailable and _SKEW.search(said):
        kind = ClockSkewed
    if kind is ClockSkewed:
        said = f"{said} {_skew(date)}".strip()
    if code:
        return kind(f"{call}: {code} (HTTP {status}): {said}".removesuffix(": "), code=code)
    whose = (
        ""
        if status in _STATUSES_OF_AWS
        else ", so the answer is not from Step Functions: check the proxy and the endpoint "
        "(AWS_ENDPOINT_URL_SFN)"
    )
    return kind(f"{call}: HTTP {status} without an error code{whose}.")


def _kind(call: str, code: str, status: int) -> type[StepFunctionsError]:
    # ListActivities answers InvalidToken too, for the token of a page.
    if code in _CLOSED and call.startswith("SendTask"):
        return TokenClosed
    if code in _KINDS:
        return _KINDS[code]
    if _THROTTLED.fullmatch(code) or status == 429:
        return Throttled
    if status == 413:
        return InvalidRequest
    return ServiceUnavailable if status >= 500 or not code else StepFunctionsError


def no_answer(call: str, endpoint_url: str, exc: BaseException) -> ServiceUnavailable:
    """The exception that a broken connection, or a time-out, means."""
    lost = isinstance(exc, aiohttp.ServerDisconnectedError | ConnectionResetError | BrokenPipeError)
    lost = lost or (
        isinstance(exc, aiohttp.ClientOSError) and not isinstance(exc, aiohttp.ClientConnectorError)
    )
    kind = ConnectionLost if lost else ServiceUnavailable
    return kind(f"{call}: no answer from {endpoint_url}: {_reason(exc)}.")


def _reason(exc: BaseException) -> str:
    """What went wrong, without the exception's text, which may hold an answer or a password."""
    match exc:
        case aiohttp.ConnectionTimeoutError():
            return "it cannot be connected to in time"
        case TimeoutError():
            return "it took too long"
        case aiohttp.ClientConnectorCertificateError():
            problem = getattr(exc.certificate_error, "verify_message", "")
            return (
                f"its certificate is not trusted ({problem or type(exc).__name__}); "
                "to trust another authority, set AWS_CA_BUNDLE to its certificates"
            )
        case aiohttp.ClientConnectorDNSError():
            return "its name cannot be resolved"
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy cannot be reached ({_errno(exc.os_error)})"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy answers HTTP {exc.status}"
        case aiohttp.ClientPayloadError():
            return "the answer is cut short"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection"
        case aiohttp.ClientConnectorError():
            return _errno(exc.os_error)
        case OSError():
            return _errno(exc)
        case _:
            return type(exc).__name__


def _errno(exc: OSError) -> str:
    return os.strerror(exc.errno) if exc.errno else type(exc).__name__


def redact(text: str, token: str) -> str:
    """The text without the task token or parts of it, cut to 500 characters.

    AWS quotes what it refuses, sometimes shortened.
    """
    if token:
        text = text.replace(token, "[token]")
        text = _LONG_WORD.sub(lambda m: "[token]" if m[0][:12] in token else m[0], text)
    return text[:_MAX_MESSAGE_CHARS]


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _bare(code: str) -> str:
    """``com.amazonaws.swf…#TaskTimedOut:http://…`` → ``TaskTimedOut``."""
    return code.split(":", 1)[0].rsplit("#", 1)[-1].strip()[:100]


def _skew(date: str | None) -> str:
    remedy = "Synchronise this machine's clock."
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return remedy
    if theirs.tzinfo is None:
        return remedy
    seconds = (datetime.now(UTC) - theirs).total_seconds()
    side = "ahead of" if seconds > 0 else "behind"
    return f"This machine's clock is {abs(seconds):.0f} s {side} AWS's. {remedy}"
