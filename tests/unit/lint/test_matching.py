"""The error names that a Retry or a Catch can match."""

from __future__ import annotations

import re
from pathlib import Path

from bridge.lint.matching import REPORTED


def test_reported_error_names_are_those_of_the_documentation():
    endings = Path(__file__).parents[3] / "docs" / "endings.md"
    assert set(re.findall(r"`(Bridge\.\w+)`", endings.read_text())) == REPORTED
