"""What a rule is, what it finds, and what a check may know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = Mapping[str, Any]
Pointer = tuple[str | int, ...]


class Severity(StrEnum):
    """How bad it is: ``info`` leaves the exit status 0."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that the linter looks for.

    Attributes:
        id: Stable: it stands in suppressions and reports. Ids are never used again.
        name: In kebab-case, for people.
        what: What is wrong, as a heading.
        why: What comes of it.
        fixable: Whether ``--fix`` can mend it.
    """

    id: str
    name: str
    severity: Severity
    what: str
    why: str
    fixable: bool = False


@dataclass(frozen=True, slots=True)
class Addition:
    """A member to be added to an object: all that ``--fix`` ever does.

    Attributes:
        to: Where the object is.
        after: Member that it should stand behind, if the object has it.
    """

    to: Pointer
    key: str
    value: Any
    after: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, where it is, and what to do.

    Attributes:
        at: Path to the place in the definition; ``pointer`` is the same as a JSON pointer.
        message: What is wrong here, with the values.
        fix: What to write instead.
        addition: What ``--fix`` would do; None where a person must decide.
        source: File, or ARN of the state machine; empty when only a definition was given.
        line: From 1; None when it is not known.
    """

    rule: Rule
    at: Pointer
    message: str
    fix: str
    addition: Addition | None = field(default=None, repr=False)
    source: str = ""
    line: int | None = None

    @property
    def pointer(self) -> str:
        """JSON pointer (RFC 6901)."""
        return pointer_text(self.at)

    @property
    def severity(self) -> Severity:
        """That of the rule."""
        return self.rule.severity

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "rule": self.rule.id,
            "name": self.rule.name,
            "severity": str(self.severity),
            "source": self.source,
            "line": self.line,
            "pointer": self.pointer,
            "message": self.message,
            "why": self.rule.why,
            "fix": self.fix,
            "fixable": self.addition is not None,
        }


@dataclass(frozen=True, slots=True)
class Known:
    """What the bridge knows of an activity that its app has a task for.

    Attributes:
        heartbeat_s: Between heartbeats.
        time_limit_s: Hard time limit of the task; None without one.
        manual: Whether only the job itself sends heartbeats.
    """

    heartbeat_s: float
    time_limit_s: float | None = None
    manual: bool = False


def pointer_text(at: Pointer) -> str:
    """A path as a JSON pointer (RFC 6901); empty for the whole document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in at)


def mappings(value: Any) -> list[tuple[int, Json]]:
    """The objects of a list, with their places; nothing for what is no list."""
    if not isinstance(value, list):
        return []
    return [(place, each) for place, each in enumerate(value) if isinstance(each, Mapping)]
