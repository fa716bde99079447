"""Pages name files, folders and test modules of the repository that exist."""

import re

import pytest

from tests.unit.docs.pages import PAGES, ROOT, without_blocks

IN_REPOSITORY = re.compile(r"`((?:bridge|tests|bench|tasks|deploy|docs)/[\w./-]*)`")
TEST_MODULE = re.compile(r"`(\w+/[\w/]*test_\w+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_path_that_a_page_names_exists(page):
    missing = [
        path for path in IN_REPOSITORY.findall(without_blocks(page)) if not (ROOT / path).exists()
    ]

    assert missing == []


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
