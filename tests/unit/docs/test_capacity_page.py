"""What docs/capacity.md shows is what the command says with the costs that the package has."""

import json
import re
import shlex
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from bridge.capacity.command import capacity
from tests.unit.docs.pages import DOCS, blocks

PAGE = DOCS / "capacity.md"
BY_DEFAULT = ("--region", "eu-west-1", "--activities", "10")
ROWS = re.findall(r"^\| [^|]+ \| `(--[^`]+)` \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)


def run(*args):
    return CliRunner().invoke(capacity, args, obj=SimpleNamespace(app=None)).stdout


def words(text):
    """Without the line breaks of the terminal's width, and what pads columns."""
    return text.split()


def as_cells(found):
    """The row of a plan: what stands between its options and the end of the line."""
    needs, first = found["needs"], found["first"]
    exceeded = any(limit["exceeded"] for limit in found["limits"])
    rate = first["rate"]
    return " | ".join(
        (
            f"{needs['in_flight']:,.0f}",
            f"{needs['slots']:,}",
            str(needs["pollers"]),
            f"{needs['store_bytes'] / 1e6:,.0f} MB",
            first["name"] + " (exceeded)" * exceeded,
            f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}",
        )
    )


def test_the_page_has_its_rows():
    assert len(ROWS) == 8


@pytest.mark.parametrize(("options", "cells"), ROWS)
def test_a_row_of_the_table(options, cells):
    found = json.loads(run(*BY_DEFAULT, *shlex.split(options), "--json"))
    assert cells == as_cells(found)


def test_the_example():
    [block] = [b for b in blocks(PAGE) if b.text.startswith("$ celery -A bridge capacity --rate")]
    command, _, shown = block.text.partition("\n")
    assert words(shown) == words(run(*shlex.split(command)[5:]))
