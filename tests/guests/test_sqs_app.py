"""An app on SQS (moto's): its tasks, and an activity beside them."""

from __future__ import annotations

import pytest

from tests.guests.life import EXECUTIONS, same
from tests.guests.sqs import LocalSQS

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(80)]


def workers(guest):
    guest.worker("all", "--concurrency", "2", "--queues", "celery,orders")


@pytest.fixture(scope="module")
def lives(two_lives):
    return two_lives(
        "queued",
        workers,
        broker=LocalSQS,
        events=False,
        activity="sqs-parcel",
        activity_task="shop.tasks.parcel",
    )


@pytest.mark.parametrize("aspect", ["results", "done", "signals"])
def test_same(lives, aspect):
    same(lives, aspect)


def test_activities(lives):
    _, with_ = lives
    parcels = [("SUCCEEDED", {"parcel": number}) for number in range(EXECUTIONS)]
    assert with_.executions == parcels, with_.output
