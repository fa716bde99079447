"""Read a JSON or YAML file, with the position of every value in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bridge.errors import SettingsError
from bridge.lint.json_marks import Mark, json_marks
from bridge.lint.json_tree import Pointer

YAML_SUFFIXES = (".yaml", ".yml")


class Unreadable(SettingsError):
    """A file is neither JSON nor YAML, or has no state machine: exit status 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A parsed text.

    Attributes:
        name: Name for messages: the path as given, or the ARN of a state machine.
        marks: Position of each value in the text.
    """

    name: str
    form: Literal["json", "yaml"]
    text: str
    value: Any
    marks: dict[Pointer, Mark]

    def mark(self, at: Pointer) -> Mark | None:
        """The position of a value, or of the nearest value around it whose position is known."""
        for length in range(len(at), -1, -1):
            mark = self.marks.get(at[:length])
            if mark is not None:
                return mark
        return None


def read_file(path: Path) -> Document:
    """Read a file.

    Raises:
        Unreadable: The file cannot be read or parsed; the message says why, with the line of a
            syntax error.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise Unreadable(f"{path} cannot be read: {reason}.") from None
    return parse(str(path), text, yaml=path.suffix.lower() in YAML_SUFFIXES)


def parse(name: str, text: str, *, yaml: bool = False) -> Document:
    """Parse a text: as JSON when it begins like JSON, otherwise as YAML.

    Raises:
        Unreadable: It is neither.
    """
    try:
        if not yaml and text.lstrip()[:1] in ("{", "["):
            return Document(
                name=name,
                form="json",
                text=text,
                value=json.loads(text),
                marks=json_marks(text),
            )
        return _yaml(name, text)
    except json.JSONDecodeError as exc:
        raise Unreadable(f"{name}:{exc.lineno}: invalid JSON: {exc.msg}.") from None
    except RecursionError:
        raise Unreadable(f"{name} is nested too deeply.") from None


def _yaml(name: str, text: str) -> Document:
    try:
        import yaml

        from bridge.lint.yaml_marks import read_yaml
    except ModuleNotFoundError:
        raise Unreadable(
            f"{name}: YAML needs PyYAML: pip install 'celery-stepfunctions[infra]'."
        ) from None
    try:
        value, marks = read_yaml(text)
    except yaml.MarkedYAMLError as exc:
        line = f":{exc.problem_mark.line + 1}" if exc.problem_mark else ""
        raise Unreadable(f"{name}{line}: invalid YAML: {exc.problem}.") from None
    except (yaml.YAMLError, ValueError) as exc:
        raise Unreadable(f"{name}: invalid YAML: {exc}.") from None
    return Document(name=name, form="yaml", text=text, value=value, marks=marks)
