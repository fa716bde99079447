"""What the bridge talks about: claims, jobs and outcomes. No I/O."""

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
# Nine digits: no claim comes to more attempts, and Lua and int() take them exactly.
_JOB_ID = re.compile(r"bridge-(?P<claim>[0-9a-f]{24})-(?P<attempt>[1-9][0-9]{0,8})")


class State(StrEnum):
    """Where a claim stands; it only ever moves down this list, but for a job handed back."""

    CLAIMED = "claimed"
    """Stored; its job is not yet known to be published."""
    QUEUED = "queued"
    """Its job is in a Celery queue, or waits there for a retry."""
    RUNNING = "running"
    """A worker with a lease runs the user's task."""
    SETTLED = "settled"
    """Its outcome is in the outbox."""
    CLOSED = "closed"
    """Step Functions takes nothing more for its token."""


def claim_id_of(token: str) -> str:
    """The digest that names a claim wherever its token must not be seen: 24 hex characters."""
    return hashlib.sha256(token.encode()).hexdigest()[:24]


class Job(NamedTuple):
    """One Celery delivery of a claim. Its id is deterministic: publishing twice is harmless."""

    claim_id: str
    attempt: int

    @property
    def id(self) -> str:
        """Celery's task id of this job."""
        return f"bridge-{self.claim_id}-{self.attempt}"

    @classmethod
    def parse(cls, task_id: object) -> Job | None:
        """The job that a Celery task id names; None when the task is no job of the bridge.

        A task id may be anything: a message of another program carries what it likes.
        """
        match = _JOB_ID.fullmatch(task_id) if isinstance(task_id, str) else None
        return cls(match["claim"], int(match["attempt"])) if match else None

    @classmethod
    def of_headers(cls, headers: object, tasks: Container[str]) -> Job | None:
        """The job whose message has these headers; None: it is not surely a job of the bridge.

        Args:
            headers: Anything that a message may carry in their place.
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
        activity: As registered: a name, or a full ARN.
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
        """The decoded input, as it travels in the job's message; ``unpack`` gets it back.

        kombu's JSON takes an object with "__type__" and "__value__" for a value of its own: a date,
        or an error. An input that has such keys travels as text.
        """
        taken = False

        def look(found: dict[str, Any]) -> dict[str, Any]:
            nonlocal taken
            taken = taken or "__type__" in found or _PACKED in found
            return found

        # A key may be written with escapes; most inputs have neither, and are not looked into.
        suspicious = "__" in self.input or "\\u" in self.input
        value = json.loads(self.input, object_hook=look if suspicious else None)
        return {_PACKED: self.input} if taken else value


def unpack(argument: Any) -> Any:
    """The input of an activity task, from what its job's message brought."""
    if isinstance(argument, dict) and argument.keys() == {_PACKED}:
        return json.loads(argument[_PACKED])
    return argument


def cut(text: str, max_chars: int) -> str:
    """At most ``max_chars`` UTF-16 units of ``text``, as AWS counts, as whole code points."""
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
    """How a claim ended: an output, or an error with its cause.

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
        """A failure; text over AWS's limits is cut."""
        return cls(error=cut(error, MAX_ERROR_CHARS), cause=cut(cause, MAX_CAUSE_CHARS))

    def dump(self) -> str:
        """Text that ``load`` reads; the store keeps it."""
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
