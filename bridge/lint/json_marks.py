"""Find the position of each value in a JSON text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from bridge.lint.json_tree import Pointer

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mark:
    """The position of a value. It begins with the value's key; in a list, with the value.

    Attributes:
        line: Line of the beginning, from 1.
        start: Offset of the beginning.
        end: Offset after the value; -1 where it is not known.
        column: Column of the beginning, from 0.
        flow: Whether the value is written between brackets, as in all JSON.
        quoted: Whether the key is quoted.
        literal: Whether the value is a block of YAML text, which begins on the next line.
    """

    line: int
    start: int
    end: int = -1
    column: int = 0
    flow: bool = True
    quoted: bool = True
    literal: bool = False


def json_marks(text: str) -> dict[Pointer, Mark]:
    """The position of every value; ``text`` must be valid JSON."""
    return _Scanner(text).marks


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [match.span() for match in _TOKEN.finditer(text)]
        self._next = 0
        self._line, self._counted = 1, 0
        self.marks: dict[Pointer, Mark] = {}
        self._value((), self._tokens[0][0])

    def _take(self) -> tuple[int, int]:
        span = self._tokens[self._next]
        self._next += 1
        return span

    def _peek(self) -> str:
        start, end = self._tokens[self._next]
        return self._text[start:end]

    def _line_of(self, offset: int) -> int:
        self._line += self._text.count("\n", self._counted, offset)
        self._counted = offset
        return self._line

    def _value(self, at: Pointer, marked: int) -> None:
        line = self._line_of(marked)
        start, end = self._take()
        opened = self._text[start]
        if opened == "{":
            end = self._members(at)
        elif opened == "[":
            end = self._items(at)
        self.marks[at] = Mark(line=line, start=marked, end=end)

    def _members(self, at: Pointer) -> int:
        while self._peek() != "}":
            start, end = self._take()
            key: str = json.loads(self._text[start:end], strict=False)
            self._take()  # the colon
            self._value((*at, key), start)
            if self._peek() == ",":
                self._take()
        return self._take()[1]

    def _items(self, at: Pointer) -> int:
        index = 0
        while self._peek() != "]":
            self._value((*at, index), self._tokens[self._next][0])
            index += 1
            if self._peek() == ",":
                self._take()
        return self._take()[1]
