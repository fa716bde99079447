"""What one check of the doctor found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    """How serious a result is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found.

    Attributes:
        check: What was checked.
        detail: What was found.
        remedy: What to do; empty if the level is OK.
    """

    check: str
    level: Level
    detail: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """The result for programs."""
        return {key: str(value) for key, value in asdict(self).items()}


def ok(check: str, detail: str) -> CheckResult:
    """A check that found no problem."""
    return CheckResult(check=check, level=Level.OK, detail=detail)


def warning(check: str, detail: str, remedy: str) -> CheckResult:
    """A check that found something that may become a problem, or could not find out."""
    return CheckResult(check=check, level=Level.WARNING, detail=detail, remedy=remedy)


def failure(check: str, detail: str, remedy: str) -> CheckResult:
    """A check that found something that does not work."""
    return CheckResult(check=check, level=Level.FAILURE, detail=detail, remedy=remedy)
