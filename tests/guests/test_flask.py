"""A Flask app made by a factory, with app contexts, priorities, and explicit queues only."""

from __future__ import annotations

import pytest

from tests.guests.app_run import ASPECTS, EXECUTIONS, assert_same

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(60)]


def prepare(host):
    host.script("drive.py", "before")


def workers(host):
    # Without --queues: all queues that task_queues names.
    host.worker("all", "--pool", "solo")
    host.worker("bills", "--queues", "bills", "--concurrency", "2")


@pytest.fixture(scope="module")
def runs(two_runs):
    return two_runs(
        "flasky",
        workers,
        app="make_celery",
        broker_options={"sep": ":"},
        activity="flask-quote",
        activity_task="shop.tasks.quote",
        prepare=prepare,
    )


@pytest.mark.parametrize("aspect", ASPECTS)
def test_it_does_the_same_as_without_the_bridge(runs, aspect):
    assert_same(runs, aspect)


def test_its_tasks_run_in_the_order_of_their_priorities(runs):
    without, _ = runs
    mails = [words[-1] for words in without.order if "mail" in words]
    assert [int(number) % 4 for number in mails] == [1] * 3 + [3] * 3 + [2] * 3 + [0] * 3


def test_its_activities_run(runs):
    _, with_ = runs
    quotes = [("SUCCEEDED", {"price": f"{number} EUR"}) for number in range(EXECUTIONS)]
    assert with_.executions == quotes, with_.output
