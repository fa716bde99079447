"""Claims, jobs and outcomes: the records that all parts of the bridge share. No I/O."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Container
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Self

MAX_OUTPUT_BYTES = 262_144
MAX_ERROR_CHARS = 256
MAX_CAUSE_CHARS = 32_768

_PACKED = "__bridge_json__"
# At most nine digits: no claim has more attempts, and Lua and int() read them exactly.
_JOB_ID = re.compile(r"bridge-(?P<claim>[0-9a-f]{24})-(?P<attempt>[1-9][0-9]{0,8})")


class State(StrEnum):
    """The state of a claim. It only moves down this list, except that a job may be handed back."""

    CLAIMED = "claimed"
    """Stored; its job is not yet known to be published."""
    QUEUED = "queued"
    """Its job is in a Celery queue, or waits for the time of a retry."""
    RUNNING = "running"
    """A worker with a lease runs the user's task."""
    SETTLED = "settled"
    """Its outcome is in the outbox."""
    CLOSED = "closed"
    """Step Functions takes nothing more for its token."""


def claim_id_of(token: str) -> str:
    """The digest that names a claim where its token must not be seen: 24 hex characters."""
    return hashlib.sha256(token.encode()).hexdigest()[:24]


class Job(NamedTuple):
    """The Celery task call of one attempt of a claim.

    Its id is deterministic and its start is fenced, so publishing it twice is harmless.
    """

    claim_id: str
    attempt: int

    @property
    def id(self) -> str:
        """Celery's task id of this job."""
        return f"bridge-{self.claim_id}-{self.attempt}"

    @classmethod
    def parse(cls, task_id: object) -> Job | None:
        """The job that a Celery task id names; None when the task is not a job of the bridge.

        A task id may be anything: messages of other programs may have any id.
        """
        match = _JOB_ID.fullmatch(task_id) if isinstance(task_id, str) else None
        return cls(match["claim"], int(match["attempt"])) if match else None

    @classmethod
    def of_headers(cls, headers: object, tasks: Container[str]) -> Job | None:
        """The job whose message has these headers; None: it may not be a job of the bridge.

        Args:
            headers: The message's headers, or anything else that it has in their place.
            tasks: Names of the tasks that are activities.
        """
        if not isinstance(headers, dict) or (job := cls.parse(headers.get("id"))) is None:
            return None
        task = headers.get("task")
        return job if isinstance(task, str) and task in tasks else None


@dataclass(frozen=True, slots=True)
class Claim:
    """Our durable record of one activity task.

    Attributes:
        claim_id: Digest of the task token.
        activity: The activity as registered: a name, or a full ARN.
        input: The activity task's input, JSON text.
        attempt: The fence; raised by each dispatch that follows a lost worker.
    """

    claim_id: str
    activity: str
    input: str = field(repr=False)
    attempt: int = 1

    @property
    def job(self) -> Job:
        """The job that this attempt is dispatched as."""
        return Job(self.claim_id, self.attempt)

    @property
    def argument(self) -> Any:
        """The decoded input, as the job's message has it; ``unpack`` restores it.

        kombu's JSON decodes an object with "__type__" and "__value__" as a value of its own, such
        as a date or an error. So an input that has such keys is sent as text.
        """
        taken = False

        def look(found: dict[str, Any]) -> dict[str, Any]:
            nonlocal taken
            taken = taken or "__type__" in found or _PACKED in found
            return found

        # A key may be written with escapes. Most inputs have neither and need no check.
        suspicious = "__" in self.input or "\\u" in self.input
        value = json.loads(self.input, object_hook=look if suspicious else None)
        return {_PACKED: self.input} if taken else value


def unpack(argument: Any) -> Any:
    """The input of an activity task, from the argument in its job's message."""
    if isinstance(argument, dict) and argument.keys() == {_PACKED}:
        return json.loads(argument[_PACKED])
    return argument


def cut(text: str, max_chars: int) -> str:
    """``text`` cut to ``max_chars`` UTF-16 units, as AWS counts them, between two code points."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    if len(text) * 2 <= max_chars:
        return text
    units = 0
    for index, char in enumerate(text):
        units += 2 if ord(char) > 0xFFFF else 1
        if units > max_chars:
            return text[:index]
    return text


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a claim ended: with an output, or with an error and its cause.

    Attributes:
        output: JSON text; None for a failure.
        error: Error name that Retry and Catch match; empty for a success.
        cause: Human-readable detail of a failure.
    """

    output: str | None = None
    error: str = ""
    cause: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return self.output is not None

    @classmethod
    def failure(cls, error: str, cause: str) -> Self:
        """A failure; text that exceeds AWS's limits is cut."""
        return cls(error=cut(error, MAX_ERROR_CHARS), cause=cut(cause, MAX_CAUSE_CHARS))

    def dump(self) -> str:
        """The outcome as text, for the store; ``load`` reads it."""
        if self.output is not None:
            return "+" + self.output
        return "-" + json.dumps({"error": self.error, "cause": self.cause})

    @classmethod
    def load(cls, text: str) -> Self:
        """The outcome that ``dump`` wrote."""
        if text.startswith("+"):
            return cls(output=text[1:])
        fields: dict[str, str] = json.loads(text[1:])
        return cls(**fields)
