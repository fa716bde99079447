"""An app with its own Task and Request classes, canvases, retries, limits and Redis results."""

from __future__ import annotations

import pytest

from tests.guests.life import ASPECTS, EXECUTIONS, same

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(120)]


def prepare(guest):
    guest.script("drive.py", "before")


def workers(guest):
    guest.worker("main", "--queues", "shop,reports", "--concurrency", "4")
    guest.worker("one", "--queues", "one", "--pool", "solo")


@pytest.fixture(scope="module")
def lives(two_lives):
    return two_lives(
        "canvas", workers, activity="canvas-pack", activity_task="shop.tasks.pack", prepare=prepare
    )


@pytest.mark.parametrize("aspect", ASPECTS)
def test_same(lives, aspect):
    same(lives, aspect)


def test_it_does_what_it_should(lives):
    without, _ = lives
    assert without.results["chord"] == ["SUCCESS", 30]
    assert [int(row[-1]) for row in without.order] == list(range(20))
    assert without.events.total() > 150


def test_activities(lives):
    _, with_ = lives
    packed = [("SUCCEEDED", {"packed": number}) for number in range(EXECUTIONS)]
    assert with_.executions == packed, with_.output
