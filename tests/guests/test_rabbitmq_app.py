"""An app on RabbitMQ: own exchanges, quorum and classic queues, priorities, late acks."""

from __future__ import annotations

import pytest

from tests.faults.rabbitmq import RabbitMQ, rabbitmq_missing
from tests.guests.life import ASPECTS, EXECUTIONS, same

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.lasts(80),
    pytest.mark.skipif(bool(rabbitmq_missing()), reason=rabbitmq_missing()),
]


def prepare(guest):
    guest.script("drive.py", "before")


def workers(guest):
    guest.worker("quick", "--queues", "quick", "--pool", "solo")
    guest.worker("rest", "--queues", "shop,orders", "--concurrency", "3")


@pytest.fixture(scope="module")
def lives(two_lives):
    return two_lives(
        "rabbit",
        workers,
        broker=RabbitMQ,
        prepare=prepare,
        activity="rabbit-parcel",
        activity_task="shop.tasks.parcel",
    )


@pytest.mark.parametrize("aspect", ASPECTS)
def test_same(lives, aspect):
    same(lives, aspect)


def test_its_order_is_that_of_priorities(lives):
    without, _ = lives
    assert [int(row[-1]) for row in without.order] == [1, 4, 7, 2, 5, 8, 0, 3, 6]


def test_activities(lives):
    _, with_ = lives
    parcels = [("SUCCEEDED", {"parcel": number}) for number in range(EXECUTIONS)]
    assert with_.executions == parcels, with_.output
