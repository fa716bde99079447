"""A Django project: results in its database, DatabaseScheduler, and its own periodic task."""

from __future__ import annotations

import pytest

from tests.guests.app_run import ASPECTS, EXECUTIONS, assert_same

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(90)]


def prepare(host):
    host.script("manage.py", "migrate", "--verbosity", "0")


def workers(host):
    host.worker("main", "--concurrency", "2")
    host.start("beat", "beat", "--loglevel", "INFO", says="beat: Starting...")


def is_periodic(row) -> bool:
    """Whether a row is about the periodic task, whose count depends on how long the run lasts."""
    return any("tidy" in word for word in row)


@pytest.fixture(scope="module")
def runs(two_runs):
    found = two_runs(
        "djshop",
        workers,
        prepare=prepare,
        activity="django-ship",
        activity_task="orders.tasks.ship",
        leave_out=is_periodic,
    )
    for run in found:
        del run.inspected["total"]["orders.tasks.tidy"]
    return found


@pytest.mark.parametrize(
    "aspect", [aspect for aspect in ASPECTS if aspect not in ("done", "order")]
)
def test_it_does_the_same_as_without_the_bridge(runs, aspect):
    assert_same(runs, aspect)


def test_its_own_beat_continues(runs):
    """Its periodic task runs once a second and never twice; on shared cores it may be late."""
    for run in runs:
        times = [float(row[-1]) for row in run.order]
        lasted_s = times[-1] - times[0]
        assert len(times) >= 5
        assert lasted_s / 2 <= len(times) - 1 <= lasted_s + 1


def test_its_activities_run(runs):
    _, with_ = runs
    shipped = [("SUCCEEDED", {"order": number, "state": "shipped"}) for number in range(EXECUTIONS)]
    assert with_.executions == shipped, with_.output
