"""Add the members that findings propose to a text. All else in it, comments too, is kept."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

from bridge.lint.files import Document, Unreadable, parse
from bridge.lint.finding import Addition, Finding
from bridge.lint.json_tree import Pointer


def fixed(document: Document, findings: Iterable[Finding]) -> str:
    """The text of the document with the additions of all findings.

    Raises:
        Unreadable: The edited text does not parse to the expected value. Nothing is written.
    """
    additions = {
        (each.addition.to, each.addition.key): each.addition for each in findings if each.addition
    }
    edits: dict[tuple[int, str], str] = {}
    expected = copy.deepcopy(document.value)
    for addition in additions.values():
        offset, text = (_in_json if document.form == "json" else _in_yaml)(document, addition)
        edits[(offset, addition.key)] = text
        _get(expected, addition.to)[addition.key] = addition.value
    made = document.text
    for (offset, _), text in sorted(edits.items(), reverse=True):
        made = made[:offset] + text + made[offset:]
    if parse(document.name, made, yaml=document.form == "yaml").value != expected:
        raise Unreadable(
            f"{document.name} cannot be fixed without further changes: correct it by hand."
        )
    return made


def _get(value: Any, at: Pointer) -> Any:
    for part in at:
        value = value[part]
    return value


def _in_json(document: Document, addition: Addition) -> tuple[int, str]:
    """Offset and text: after the member ``after``, or after the last; with the same spacing."""
    keys = list(_get(document.value, addition.to))
    beside = addition.after if addition.after in keys else keys[-1]
    mark = document.marks[(*addition.to, beside)]
    before = document.text[: mark.start]
    space = before[len(before.rstrip()) :]
    return mark.end, f",{space or ' '}{json.dumps(addition.key)}: {json.dumps(addition.value)}"


def _in_yaml(document: Document, addition: Addition) -> tuple[int, str]:
    """Offset and text: before the member that follows ``after``.

    A member under a comment is passed over, so that the comment stays with its member.
    """
    keys = [
        key for key in _get(document.value, addition.to) if (*addition.to, key) in document.marks
    ]
    if not keys:
        raise Unreadable(
            f"{document.name} cannot be fixed: an anchor defines the object that would change."
        )
    wanted = keys.index(addition.after) + 1 if addition.after in keys else len(keys) - 1
    order = [*keys[wanted:], *reversed(keys[:wanted])]
    marks = [document.marks[(*addition.to, key)] for key in order]
    mark = next((each for each in marks if not _under_comment(document.text, each.start)), marks[0])
    key = json.dumps(addition.key) if mark.quoted and mark.flow else addition.key
    value = json.dumps(addition.value) if isinstance(addition.value, str) else addition.value
    end = ", " if mark.flow else _newline(document.text) + " " * mark.column
    return mark.start, f"{key}: {value}{end}"


def _under_comment(text: str, offset: int) -> bool:
    lines = text[:offset].splitlines()
    return len(lines) > 1 and not lines[-1].strip() and lines[-2].lstrip().startswith("#")


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
