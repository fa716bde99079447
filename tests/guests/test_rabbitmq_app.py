"""An app on RabbitMQ with its own exchanges, both kinds of queues, priorities and late acks."""

from __future__ import annotations

import pytest

from tests.faults.rabbitmq import RabbitMQ, rabbitmq_missing
from tests.guests.app_run import ASPECTS, EXECUTIONS, assert_same

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.lasts(80),
    pytest.mark.skipif(bool(rabbitmq_missing()), reason=rabbitmq_missing()),
]


def prepare(host):
    host.script("drive.py", "before")


def workers(host):
    host.worker("quick", "--queues", "quick", "--pool", "solo")
    host.worker("rest", "--queues", "shop,orders", "--concurrency", "3")


@pytest.fixture(scope="module")
def runs(two_runs):
    return two_runs(
        "rabbit",
        workers,
        broker=RabbitMQ,
        prepare=prepare,
        activity="rabbit-parcel",
        activity_task="shop.tasks.parcel",
    )


@pytest.mark.parametrize("aspect", ASPECTS)
def test_it_does_the_same_as_without_the_bridge(runs, aspect):
    assert_same(runs, aspect)


def test_its_tasks_run_in_the_order_of_their_priorities(runs):
    without, _ = runs
    assert [int(row[-1]) for row in without.order] == [1, 4, 7, 2, 5, 8, 0, 3, 6]


def test_its_activities_run(runs):
    _, with_ = runs
    parcels = [("SUCCEEDED", {"parcel": number}) for number in range(EXECUTIONS)]
    assert with_.executions == parcels, with_.output
