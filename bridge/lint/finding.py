"""What the linter looks for (``Rule``) and what it reports (``Finding``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bridge.lint.json_tree import Pointer, pointer_text


class Severity(StrEnum):
    """How bad a finding is. Findings of ``info`` alone leave the exit status at 0."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One fault that the linter looks for.

    Attributes:
        id: Stands in ``--ignore`` and in reports, so it never changes. The id of a removed rule is
            not used again.
        name: A name for people, in kebab-case.
        what: What is wrong, as a heading.
        why: What the fault leads to, as a sentence.
        fixable: Whether ``--fix`` can correct the fault in some cases.
    """

    id: str
    name: str
    severity: Severity
    what: str
    why: str
    fixable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A member to add to a JSON object: the only kind of change that ``--fix`` makes.

    Attributes:
        to: Path to the object.
        after: Name of the member that the new one follows, if the object has it.
    """

    to: Pointer
    key: str
    value: Any
    after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault in a definition, where it is, and what to write instead.

    Attributes:
        at: Path to the fault in the definition; ``pointer`` has it as a JSON pointer.
        message: What is wrong here, with the values.
        fix: What to write instead.
        addition: What ``--fix`` would add; None where a person must decide.
        source: File, or ARN of the state machine; empty when only a definition was given.
        line: Line in the file, from 1; None when it is not known.
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
        """``at`` as a JSON pointer (RFC 6901)."""
        return pointer_text(self.at)

    @property
    def severity(self) -> Severity:
        """The severity of the rule."""
        return self.rule.severity

    def as_json(self) -> dict[str, Any]:
        """The finding as it stands in the output of ``--format json``."""
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
