"""What the messages of errors are made of."""

from __future__ import annotations

import click
import pytest
from celery import Celery

from bridge.errors import ErrorName, app_name


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"app": "shop.celery:app"}, "shop.celery:app"),
        ({"app": None}, "APP"),
        ({}, "APP"),
        ({"app": Celery("shop", set_as_current=False)}, "APP"),
    ],
)
def test_remedies_name_the_app_that_celery_was_given(given, expected):
    """Also below sub-commands; ``app.start()`` gives the app itself, which has no such name."""
    root = click.Context(click.Group("celery"))
    root.params = given
    with click.Context(click.Command("poll"), parent=root):
        assert app_name() == expected


def test_without_a_command_line_there_is_none():
    assert app_name() == "APP"


@pytest.mark.parametrize("name", ErrorName)
def test_an_error_name_is_its_member_in_camel_case_with_a_meaning_in_one_sentence(name):
    assert name == "Bridge." + "".join(word.capitalize() for word in name.name.split("_"))
    assert name.meaning.endswith(".")
    assert "\n" not in name.meaning
