"""The reference pages say what the code says."""

import re
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from bridge.errors import ErrorName
from bridge.registry import OPTIONS
from tests.unit.docs.pages import DOCS


def generator():
    spec = spec_from_file_location("docs_generate", DOCS / "_generate.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MADE = generator().pages()


@pytest.mark.parametrize("page", MADE, ids=lambda page: page.name)
def test_a_page_stands_as_it_is_made(page):
    assert page.read_text("utf-8") == MADE[page], "make it anew: python docs/_generate.py"


def test_every_error_name_of_the_bridge_is_an_ending():
    endings = (DOCS / "endings.md").read_text("utf-8")

    reported = set(ErrorName) - {ErrorName.FAILURE_REFUSED}
    assert set(re.findall(r"`(Bridge\.\w+)`", endings)) == reported


def test_every_task_option_is_described():
    page = (DOCS / "reference" / "tasks.md").read_text("utf-8")

    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == {"activity", *OPTIONS}


def test_every_setting_in_a_page_exists():
    generate = generator()
    known = {f"BRIDGE_{name.upper()}" for name in generate.settings.Settings.model_fields}
    for page in DOCS.rglob("*.md"):
        named = set(re.findall(r"\bBRIDGE_[A-Z_]*[A-Z]\b(?!…|=tcp:)", page.read_text("utf-8")))
        assert named <= known, page.name
