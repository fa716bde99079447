"""A job that is held back gets room of its own, like Celery's tasks with an ETA."""

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


def test_the_prefetch_count_is_raised_while_jobs_are_held_back(consumer, app):
    limit(consumer, *(job(app, number) for number in (1, 2, 3)))
    assert consumer.qos.value == 6
    let_go(consumer)
    assert consumer.qos.value == 5
    let_go(consumer)
    assert consumer.qos.value == 4


def test_other_tasks_and_calls_do_not_raise_it(consumer, app):
    requests = [request(app, "shop.report", str(n)) for n in range(3)]
    requests += [request(app, "jobs.limited", f"call-{n}") for n in range(3)]
    limit(consumer, *requests)
    assert consumer.qos.value == 4
    let_go(consumer)
    let_go(consumer, "shop.report")
    assert consumer.qos.value == 4


def test_a_job_that_has_waited_for_its_countdown_raises_it(consumer, app):
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


def test_a_change_of_the_rate_keeps_the_count_right(consumer, app):
    limit(consumer, job(app, 1), job(app, 2))
    old = consumer.task_buckets["jobs.limited"]
    consumer.reset_rate_limits()
    assert consumer.qos.value == 5
    old._tokens = 1.0
    consumer._schedule_bucket_request(old)
    assert consumer.qos.value == 4


def test_a_new_connection_starts_with_a_new_count(consumer, app):
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


def test_a_count_that_celery_has_set_anew_is_not_lowered(consumer, app):
    """After a lost connection Celery does so with each message that is acknowledged."""
    limit(consumer, job(app, 1), job(app, 2))
    consumer.qos.value = 4
    let_go(consumer)
    assert consumer.qos.value == 4


def test_the_count_stays_within_worker_eta_task_limit(consumer, app):
    consumer.qos.max_prefetch = 5
    limit(consumer, *(job(app, number) for number in range(4)))
    assert consumer.qos.value == 5
    for _ in range(3):
        let_go(consumer)
    assert consumer.qos.value == 4


def test_without_a_prefetch_limit_nothing_changes(consumer, app):
    consumer.qos.value = 0
    limit(consumer, job(app, 1), job(app, 2))
    let_go(consumer)
    assert consumer.qos.value == 0
