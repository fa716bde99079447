"""A Django project: results in its database, DatabaseScheduler, a periodic task of its own."""

from __future__ import annotations

import pytest

from tests.guests.life import ASPECTS, EXECUTIONS, same

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(90)]


def prepare(guest):
    guest.script("manage.py", "migrate", "--verbosity", "0")


def workers(guest):
    guest.worker("main", "--concurrency", "2")
    guest.start("beat", "beat", "--loglevel", "INFO", says="beat: Starting...")


def of_beat(row) -> bool:
    """Of its periodic task: how often it runs depends on how long the life lasts."""
    return any("tidy" in word for word in row)


@pytest.fixture(scope="module")
def lives(two_lives):
    found = two_lives(
        "djshop",
        workers,
        prepare=prepare,
        activity="django-ship",
        activity_task="orders.tasks.ship",
        leave_out=of_beat,
    )
    for life in found:
        del life.inspected["total"]["orders.tasks.tidy"]
    return found


@pytest.mark.parametrize(
    "aspect", [aspect for aspect in ASPECTS if aspect not in ("done", "order")]
)
def test_same(lives, aspect):
    same(lives, aspect)


def test_its_own_beat_goes_on(lives):
    """Once a second and never twice; on shared cores it may come late."""
    for life in lives:
        times = [float(row[-1]) for row in life.order]
        lasted_s = times[-1] - times[0]
        assert len(times) >= 5
        assert lasted_s / 2 <= len(times) - 1 <= lasted_s + 1


def test_activities(lives):
    _, with_ = lives
    shipped = [("SUCCEEDED", {"order": number, "state": "shipped"}) for number in range(EXECUTIONS)]
    assert with_.executions == shipped, with_.output
