"""What the messages of errors are made of."""

from __future__ import annotations

import click
import pytest
from celery import Celery

from bridge.errors import app_name


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"app": "shop.celery:app"}, "shop.celery:app"),
        ({"app": None}, "APP"),
        ({}, "APP"),
        ({"app": Celery("shop", set_as_current=False)}, "APP"),
    ],
)
def test_remedies_name_the_app_that_celery_was_given(given, said):
    """Also below sub-commands; ``app.start()`` gives the app itself, which has no such name."""
    root = click.Context(click.Group("celery"))
    root.params = given
    with click.Context(click.Command("poll"), parent=root):
        assert app_name() == said


def test_without_a_command_line_there_is_none():
    assert app_name() == "APP"
