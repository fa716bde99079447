"""An app on gevent: its tasks wait at the same time, its limits hold, its activities run."""

from __future__ import annotations

import pytest

from tests.guests.app_run import ASPECTS, EXECUTIONS, assert_same

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(60)]


def workers(host):
    # Without --queues: it must not consume the queue of the other worker.
    host.worker("green", "--pool", "gevent", "--concurrency", "60")
    host.worker("crawler", "--pool", "gevent", "--concurrency", "4", "--queues", "crawls")


@pytest.fixture(scope="module")
def runs(two_runs):
    return two_runs("green", workers, activity="green-crawl", activity_task="shop.tasks.crawl")


@pytest.mark.parametrize("aspect", [aspect for aspect in ASPECTS if aspect != "order"])
def test_it_does_the_same_as_without_the_bridge(runs, aspect):
    assert_same(runs, aspect)


def test_its_tasks_wait_at_the_same_time(runs):
    without, with_ = runs
    assert without.results["at once"]
    assert with_.results["at once"]


def test_its_activities_run(runs):
    _, with_ = runs
    crawled = [("SUCCEEDED", {"crawled": number}) for number in range(EXECUTIONS)]
    assert with_.executions == crawled, with_.output
