"""The pages of docs/ and the README, and the code blocks in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?[^\n]*\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A fenced code block."""

    page: str
    line: int
    language: str
    title: str | None
    text: str


def blocks(page: Path) -> list[Block]:
    """The code blocks of a page."""
    content = page.read_text("utf-8")
    return [
        Block(
            str(page.relative_to(ROOT)),
            content.count("\n", 0, match.start()) + 1,
            match["language"],
            match["title"],
            match["text"],
        )
        for match in _FENCE.finditer(content)
    ]


def without_blocks(page: Path) -> str:
    """The text of a page between its code blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))
