"""Make the outcome for Step Functions from a task's result, or from the exception that ended it."""

from __future__ import annotations

import json
import logging
from typing import Any

from bridge.errors import ActivityError, BridgeError, ErrorName
from bridge.model import MAX_OUTPUT_BYTES, Outcome

logger = logging.getLogger(__name__)


class OutputRefused(BridgeError):
    """A task returned a value that cannot be the output of an activity task."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(error, cause)
        self.error = error
        self.cause = cause


def output_of(result: Any) -> str:
    """The result as JSON text.

    Raises:
        OutputRefused: It is no JSON, or too large for Step Functions.
    """
    try:
        text = json.dumps(result, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size_bytes = len(text.encode())
    except (TypeError, ValueError, RecursionError) as exc:
        raise OutputRefused(
            ErrorName.OUTPUT_NOT_JSON,
            f"the task returned {type(result).__name__}, which is no JSON ({exc}). "
            "Return dicts, lists, strings, finite numbers, booleans and None only.",
        ) from None
    if size_bytes > MAX_OUTPUT_BYTES:
        raise OutputRefused(
            ErrorName.OUTPUT_TOO_LARGE,
            f"the output has {size_bytes:,} bytes, Step Functions takes {MAX_OUTPUT_BYTES:,}. "
            "Store it (in S3, for example) and return where it is.",
        )
    return text


def failure_of(exc: BaseException) -> Outcome:
    """The failure for an exception: its own error name or its class's name, and its text."""
    if isinstance(exc, ActivityError | OutputRefused):
        # A subclass may have set neither, or something that is no text.
        return Outcome.failure(str(exc.error or "").strip() or _name_of(exc), str(exc.cause or ""))
    return Outcome.failure(_name_of(exc), text_of(exc))


def _name_of(exc: BaseException) -> str:
    return type(exc).__name__ or "Exception"


def text_of(what: object) -> str:
    """The text of an exception or of a reason, even if its own methods fail."""
    for say in (str, repr):
        try:
            if words := say(what):
                return words
        except Exception as bad:  # noqa: BLE001 (the user's code)
            logger.debug("%s() of a %s failed: %r", say.__name__, type(what).__name__, type(bad))
    return f"a {type(what).__name__} that cannot be put into words"
