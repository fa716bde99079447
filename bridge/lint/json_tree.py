"""Types and helpers for parsed JSON: objects, and paths to the values in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]
Pointer = tuple[str | int, ...]
"""The path to a value: names of members, and indexes of lists. Empty: the whole document."""


def pointer_text(at: Pointer) -> str:
    """A path as a JSON pointer (RFC 6901); empty for the whole document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in at)


def mappings(value: Any) -> list[tuple[int, Json]]:
    """The objects of a list, each with its index; empty when ``value`` is not a list."""
    if not isinstance(value, list):
        return []
    return [(index, each) for index, each in enumerate(value) if isinstance(each, Mapping)]
