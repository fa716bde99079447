"""The pages name files that exist: modules move, and a page that names them would mislead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.docs.pages import PAGES, ROOT, without_blocks

TOP = tuple(
    f"{folder}/" for folder in ("bridge", "bench", "deploy", "docs", "tasks", "tests", ".ci")
)
CODE = re.compile(r"`([^`\s]+)`")
TEST_MODULE = re.compile(r"`(\w+/[\w/]*test_\w+)`")
IN_BRIDGE = {"CONTRIBUTING.md", "docs/architecture.md"}
"""Pages that name files as a reader of ``bridge/`` does: ``loops/poller.py``."""


def named(page: Path) -> set[str]:
    """The files and folders that a page names in its text; a ``::test`` behind a path is cut."""
    tokens = {token.partition("::")[0] for token in CODE.findall(without_blocks(page))}
    files = {token for token in tokens if token.startswith(TOP)}
    if str(page.relative_to(ROOT)) in IN_BRIDGE:
        files |= {
            token
            for token in tokens
            if re.fullmatch(r"[\w./{},*-]+(\.py|\.lua|\.toml|\.txt|\.md|/)", token)
        }
    return {file for file in files if not re.search(r"[<>…=:]", file)}


def exists(file: str) -> bool:
    """Whether the root or ``bridge/`` has it; ``{a,b}`` and ``*`` mean what they do in sh."""
    choice = re.search(r"\{([^}]*)\}", file)
    if choice:
        return all(exists(file.replace(choice[0], each, 1)) for each in choice[1].split(","))
    return any(any(folder.glob(file.rstrip("/"))) for folder in (ROOT, ROOT / "bridge"))


@pytest.mark.parametrize("page", [ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda page: page.name)
def test_a_page_names_files_that_exist(page):
    assert not {file for file in named(page) if not exists(file)}


def test_a_test_module_that_the_page_of_failures_names_exists():
    named = set(TEST_MODULE.findall(without_blocks(ROOT / "docs" / "failures.md")))
    assert len(named) > 20
    assert [name for name in named if not (ROOT / "tests" / f"{name}.py").exists()] == []


def test_the_table_of_states_names_scripts_that_exist():
    page = (ROOT / "docs" / "claim-states.md").read_text("utf-8")
    cells = re.findall(r"^\|[^|]+\|[^|]+\| (`[^|]+) \|[^|]+\|[^|]+\|$", page, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    scripts = {path.stem for path in (ROOT / "bridge" / "store" / "lua").glob("*.lua")}

    assert len(named) > 6
    assert named - scripts == set()


def test_a_file_that_is_gone_is_found():
    assert exists("bridge/loops/poller.py")
    assert exists("loops/{poller,reporter}.py")
    assert not exists("bridge/poller.py")
    assert not exists("loops/{poller,gone}.py")
