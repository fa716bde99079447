"""A Flask app made by a factory: app contexts, explicit queues, priorities, no other queues."""

from __future__ import annotations

import pytest

from tests.guests.life import ASPECTS, EXECUTIONS, same

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(60)]


def prepare(guest):
    guest.script("drive.py", "before")


def workers(guest):
    # Without --queues: all that task_queues names.
    guest.worker("all", "--pool", "solo")
    guest.worker("bills", "--queues", "bills", "--concurrency", "2")


@pytest.fixture(scope="module")
def lives(two_lives):
    return two_lives(
        "flasky",
        workers,
        app="make_celery",
        broker_options={"sep": ":"},
        activity="flask-quote",
        activity_task="shop.tasks.quote",
        prepare=prepare,
    )


@pytest.mark.parametrize("aspect", ASPECTS)
def test_same(lives, aspect):
    same(lives, aspect)


def test_its_order_is_that_of_priorities(lives):
    without, _ = lives
    mails = [words[-1] for words in without.order if "mail" in words]
    assert [int(number) % 4 for number in mails] == [1] * 3 + [3] * 3 + [2] * 3 + [0] * 3


def test_activities(lives):
    _, with_ = lives
    quotes = [("SUCCEEDED", {"price": f"{number} EUR"}) for number in range(EXECUTIONS)]
    assert with_.executions == quotes, with_.output
