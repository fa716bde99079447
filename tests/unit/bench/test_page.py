"""Where the figures are written in the page."""

from __future__ import annotations

from bench.page import BEGIN, END, put


def test_only_the_text_between_the_markers_changes():
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert put(page, r"new \1") == f"before\n{BEGIN}\nnew \\1\n{END}\nafter\n"


def test_a_page_without_markers_gets_them_at_its_end():
    assert put("tried\n", "new") == f"tried\n\n{BEGIN}\nnew\n{END}\n"
