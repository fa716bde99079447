"""An app on moto's SQS: its own tasks, and an activity beside them."""

from __future__ import annotations

import pytest

from tests.guests.app_run import EXECUTIONS, assert_same
from tests.guests.sqs import LocalSQS

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(80)]


def workers(host):
    host.worker("all", "--concurrency", "2", "--queues", "celery,orders")


@pytest.fixture(scope="module")
def runs(two_runs):
    return two_runs(
        "queued",
        workers,
        broker=LocalSQS,
        events=False,
        activity="sqs-parcel",
        activity_task="shop.tasks.parcel",
    )


@pytest.mark.parametrize("aspect", ["results", "done", "signals"])
def test_it_does_the_same_as_without_the_bridge(runs, aspect):
    assert_same(runs, aspect)


def test_its_activities_run(runs):
    _, with_ = runs
    parcels = [("SUCCEEDED", {"parcel": number}) for number in range(EXECUTIONS)]
    assert with_.executions == parcels, with_.output
