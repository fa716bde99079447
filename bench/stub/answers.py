"""Make the stub's HTTP responses.

The response for a task without ``work_ms`` has always the same length, so it is a template.
"""

from __future__ import annotations

import json
from typing import Any

from bench.stub import TOKEN

_HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n"
_TASK_BODY = b'{"taskToken":"' + TOKEN + b'%012d","input":"{\\"n\\": \\"%012d\\"}"}'
_TASK = _HEAD % (b"200 OK", len(_TASK_BODY % (0, 0))) + _TASK_BODY
_WORK_BODY = b'{"taskToken":"' + TOKEN + b'%012d","input":"{\\"n\\": \\"%012d\\", \\"ms\\": %d}"}'
EMPTY = _HEAD % (b"200 OK", 2) + b"{}"


def task_answer(number: int, work_ms: int) -> bytes:
    """The response of GetActivityTask with this task."""
    if not work_ms:
        return _TASK % (number, number)
    body = _WORK_BODY % (number, number, work_ms)
    return _HEAD % (b"200 OK", len(body)) + body


def answer(content: Any, status: bytes = b"200 OK") -> bytes:
    """A response with this content as JSON."""
    body = json.dumps(content).encode()
    return _HEAD % (status, len(body)) + body


def refusal(code: str) -> bytes:
    """An error response of the AWS JSON protocol."""
    content = {"__type__": code, "__type": f"com.amazonaws.states#{code}", "message": code}
    return answer(content, b"400 Bad Request")
