"""An app on gevent: its tasks wait together, its limits hold, its activities run."""

from __future__ import annotations

import pytest

from tests.guests.life import ASPECTS, EXECUTIONS, same

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(60)]


def workers(guest):
    # Without --queues: it must not take what the other is for.
    guest.worker("green", "--pool", "gevent", "--concurrency", "60")
    guest.worker("crawler", "--pool", "gevent", "--concurrency", "4", "--queues", "crawls")


@pytest.fixture(scope="module")
def lives(two_lives):
    return two_lives("green", workers, activity="green-crawl", activity_task="shop.tasks.crawl")


@pytest.mark.parametrize("aspect", [aspect for aspect in ASPECTS if aspect != "order"])
def test_same(lives, aspect):
    same(lives, aspect)


def test_they_wait_together(lives):
    without, with_ = lives
    assert without.results["at once"]
    assert with_.results["at once"]


def test_activities(lives):
    _, with_ = lives
    crawled = [("SUCCEEDED", {"crawled": number}) for number in range(EXECUTIONS)]
    assert with_.executions == crawled, with_.output
