"""Make the JSON of the four frequent calls within AWS's limits, and read the task of a poll."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.errors import InvalidRequest, ServiceUnavailable
from bridge.model import MAX_CAUSE_CHARS, MAX_ERROR_CHARS, MAX_OUTPUT_BYTES, cut

POLL = "GetActivityTask"
HEARTBEAT = "SendTaskHeartbeat"
SUCCESS = "SendTaskSuccess"
FAILURE = "SendTaskFailure"

MAX_WORKER_NAME_CHARS = 80


@dataclass(frozen=True, slots=True)
class ActivityTask:
    """What a poll returns.

    Attributes:
        token: AWS's secret, the right to report.
        input: JSON text, as given.
    """

    token: str = field(repr=False)
    input: str = field(repr=False)


def poll_body(activity_arn: str, worker_name: str) -> bytes:
    """The body of GetActivityTask; the worker name is cut at 80 characters.

    Raises:
        InvalidRequest: The worker name is empty.
    """
    if not worker_name:
        raise InvalidRequest(f"{POLL}: the worker name is empty.")
    name = cut(worker_name, MAX_WORKER_NAME_CHARS)
    return _encode(POLL, {"activityArn": activity_arn, "workerName": name})


def heartbeat_body(token: str) -> bytes:
    """The body of SendTaskHeartbeat.

    Raises:
        InvalidRequest: The token is empty.
    """
    return _encode_report(HEARTBEAT, token, {})


def success_body(token: str, output: str) -> bytes:
    """The body of SendTaskSuccess.

    Raises:
        InvalidRequest: The token is empty, or the output is too large or no Unicode.
    """
    # 4 bytes a character at most: short outputs are not encoded only to be measured.
    if len(output) * 4 > MAX_OUTPUT_BYTES:
        size = len(output.encode("utf-8", "surrogatepass"))
        if size > MAX_OUTPUT_BYTES:
            raise InvalidRequest(
                f"{SUCCESS}: the output has {size} bytes as UTF-8, and Step Functions takes at "
                f"most {MAX_OUTPUT_BYTES}. Store it elsewhere, S3 for example, and return "
                "where it is."
            )
    return _encode_report(SUCCESS, token, {"output": output})


def failure_body(token: str, error: str, cause: str) -> bytes:
    """The body of SendTaskFailure; without both fields if both are empty.

    Raises:
        InvalidRequest: The token is empty.
    """
    if not error and not cause:
        return _encode_report(FAILURE, token, {})
    # Step Functions refuses a longer field, and the state would wait until its time-out.
    fields = {"error": cut(error, MAX_ERROR_CHARS), "cause": cut(cause, MAX_CAUSE_CHARS)}
    return _encode_report(FAILURE, token, fields)


def task_of(answer: Mapping[str, Any]) -> ActivityTask | None:
    """The task in an answer of GetActivityTask; None: the poll ended empty.

    Raises:
        ServiceUnavailable: The answer is none of Step Functions.
    """
    token, text = answer.get("taskToken"), answer.get("input")
    if not token:
        return None
    if not isinstance(token, str) or not isinstance(text, str | None):
        raise ServiceUnavailable(f"{POLL}: the answer is garbled: a field is no string.")
    if "\n" in token:  # the store ends a token with it
        raise ServiceUnavailable(f"{POLL}: the answer is garbled: the token has two lines.")
    return ActivityTask(token, "{}" if text is None else text)


def _encode_report(call: str, token: str, fields: dict[str, str]) -> bytes:
    if not token:
        raise InvalidRequest(f"{call}: the task token is empty.")
    return _encode(call, {"taskToken": token, **fields})


def _encode(call: str, fields: dict[str, str]) -> bytes:
    try:
        return json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        reason = exc.reason
    # Not in the except block: the context would hold the body, and with it the token.
    raise InvalidRequest(f"{call}: a field cannot be sent as UTF-8: {reason}.")
