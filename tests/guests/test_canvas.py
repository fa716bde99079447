"""An app with its own Task and Request classes, canvases, retries, limits and Redis results."""

from __future__ import annotations

import pytest

from tests.guests.app_run import ASPECTS, EXECUTIONS, assert_same

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(120)]


def prepare(host):
    host.script("drive.py", "before")


def workers(host):
    host.worker("main", "--queues", "shop,reports", "--concurrency", "4")
    host.worker("one", "--queues", "one", "--pool", "solo")


@pytest.fixture(scope="module")
def runs(two_runs):
    return two_runs(
        "canvas", workers, activity="canvas-pack", activity_task="shop.tasks.pack", prepare=prepare
    )


@pytest.mark.parametrize("aspect", ASPECTS)
def test_it_does_the_same_as_without_the_bridge(runs, aspect):
    assert_same(runs, aspect)


def test_the_app_works_without_the_bridge(runs):
    without, _ = runs
    assert without.results["chord"] == ["SUCCESS", 30]
    assert [int(row[-1]) for row in without.order] == list(range(20))
    assert without.events.total() > 150


def test_its_activities_run(runs):
    _, with_ = runs
    packed = [("SUCCEEDED", {"packed": number}) for number in range(EXECUTIONS)]
    assert with_.executions == packed, with_.output
