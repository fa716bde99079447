"""A job that is held back gets room of its own, as Celery's tasks with an ETA do."""

from __future__ import annotations

import pytest
from kombu.common import QoS

from bridge.worker.rate_limits import RaisePrefetch
from tests.unit.worker.made import job, request


@pytest.fixture
def consumer(app):
    app.steps["consumer"].add(RaisePrefetch)
    consumer = app.WorkController(pool="solo", concurrency=4, hostname="w@host").consumer
    consumer.on_task_request = lambda request: None
    consumer.qos = QoS(lambda prefetch_count: None, 4)
    return consumer


def limit(consumer, *requests) -> None:
    for each in requests:
        consumer._limit_task(each, consumer.task_buckets[each.type], 1)


def let_go(consumer, task: str = "jobs.limited") -> None:
    """The bucket's next token comes."""
    bucket = consumer.task_buckets[task]
    bucket._tokens = 1.0
    consumer._schedule_bucket_request(bucket)


def test_while_they_wait(consumer, app):
    limit(consumer, *(job(app, number) for number in (1, 2, 3)))
    assert consumer.qos.value == 6
    let_go(consumer)
    assert consumer.qos.value == 5
    let_go(consumer)
    assert consumer.qos.value == 4


def test_not_for_other_tasks_nor_calls(consumer, app):
    requests = [request(app, "shop.report", str(n)) for n in range(3)]
    requests += [request(app, "jobs.limited", f"call-{n}") for n in range(3)]
    limit(consumer, *requests)
    assert consumer.qos.value == 4
    let_go(consumer)
    let_go(consumer, "shop.report")
    assert consumer.qos.value == 4


def test_after_a_countdown(consumer, app):
    """Celery gives the room of the countdown back when its time has come."""
    bucket = consumer.task_buckets["jobs.limited"]
    requests = [job(app, 1), job(app, 2)]
    consumer.qos.increment_eventually(len(requests))
    assert consumer.qos.value == 6
    for each in requests:
        consumer._limit_post_eta(each, bucket, 1)
    assert consumer.qos.value == 5
    let_go(consumer)
    assert consumer.qos.value == 4


def test_when_the_rate_was_changed_meanwhile(consumer, app):
    limit(consumer, job(app, 1), job(app, 2))
    old = consumer.task_buckets["jobs.limited"]
    consumer.reset_rate_limits()
    assert consumer.qos.value == 5
    old._tokens = 1.0
    consumer._schedule_bucket_request(old)
    assert consumer.qos.value == 4


def test_a_new_connection_begins_anew(consumer, app):
    limit(consumer, *(job(app, number) for number in (1, 2, 3)))
    old = consumer.task_buckets["jobs.limited"]
    consumer.on_close()
    consumer.qos = QoS(lambda prefetch_count: None, 4)
    assert not old.contents
    limit(consumer, job(app, 2), job(app, 3))
    assert consumer.qos.value == 6
    let_go(consumer)
    let_go(consumer)
    assert consumer.qos.value == 4


def test_celery_sets_the_count_anew_meanwhile(consumer, app):
    """As after a lost connection, with each message that is acknowledged then."""
    limit(consumer, job(app, 1), job(app, 2))
    consumer.qos.value = 4
    let_go(consumer)
    assert consumer.qos.value == 4


def test_never_over_the_limit_of_tasks_with_an_eta(consumer, app):
    consumer.qos.max_prefetch = 5
    limit(consumer, *(job(app, number) for number in range(4)))
    assert consumer.qos.value == 5
    for _ in range(3):
        let_go(consumer)
    assert consumer.qos.value == 4


def test_without_a_limit_there_is_room(consumer, app):
    consumer.qos.value = 0
    limit(consumer, job(app, 1), job(app, 2))
    let_go(consumer)
    assert consumer.qos.value == 0
