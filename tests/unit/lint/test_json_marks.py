"""The position of each value in a JSON text."""

from __future__ import annotations

from bridge.lint.json_marks import json_marks


def test_json_marks_have_the_line_and_the_extent_of_each_value():
    text = '{\n  "a": [1,\n {"b c": "}\\""}],\n "d": {}}\n'
    marks = json_marks(text)
    lines = {at: mark.line for at, mark in marks.items()}
    assert lines == {(): 1, ("a",): 2, ("a", 0): 2, ("a", 1): 3, ("a", 1, "b c"): 3, ("d",): 4}
    assert text[marks["a", 1, "b c"].start : marks["a", 1, "b c"].end] == '"b c": "}\\""'
