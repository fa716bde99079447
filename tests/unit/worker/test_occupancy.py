"""What a worker has, read from real objects of Celery's that no process runs."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from celery.worker import state

from bridge.worker import occupancy
from bridge.worker.occupancy import FETCHES_SAMPLES, OccupancyReader
from tests.unit.worker.made import TASKS, claim_id, job, request


class Clock:
    def __init__(self, monkeypatch):
        self.now = time.monotonic()
        monkeypatch.setattr(occupancy.time, "monotonic", lambda: self.now)


class TestSlots:
    @pytest.mark.parametrize(
        ("pool", "slots"), [("solo", 1), ("threads", 4), ("prefork", 4), ("gevent", 4)]
    )
    def test_each_pool_has_its_own_number_of_slots(self, app, pool, slots):
        """A solo pool runs one job, whatever --concurrency says."""
        worker = app.WorkController(pool=pool, concurrency=4, hostname="w@host")
        assert OccupancyReader(worker, TASKS).sample().slots == slots

    def test_a_pool_that_grows_and_shrinks_changes_its_slots(self, app):
        worker = app.WorkController(pool="gevent", concurrency=4, hostname="w@host")
        worker.pool.on_start()
        read = OccupancyReader(worker, TASKS)
        assert read.sample().slots == 4
        worker.pool.grow(3)
        assert read.sample().slots == 7
        worker.pool.shrink(6)
        assert read.sample().slots == 1

    def test_an_autoscaler_counts_as_its_maximum(self, app):
        worker = app.WorkController(pool="prefork", autoscale="6,1", hostname="w@host")
        read = OccupancyReader(worker, TASKS)
        assert read.sample().slots == 6
        worker.autoscaler.max_concurrency = 2
        assert read.sample().slots == 2

    def test_a_pool_that_cannot_be_scaled_keeps_its_slots(self, app):
        worker = app.WorkController(pool="threads", autoscale="6,2", hostname="w@host")
        worker.pool.start()
        assert OccupancyReader(worker, TASKS).sample().slots == 2

    def test_a_draining_worker_has_no_slots(self, worker):
        read = OccupancyReader(worker, TASKS)
        assert read.sample(draining=True).slots == 0
        state.should_stop = 0  # Celery's sign that a signal has come, before anything is stopped
        assert read.sample().slots == 0

    def test_a_pool_without_a_size_counts_as_the_configured_concurrency(self, worker):
        worker.pool = SimpleNamespace()
        assert OccupancyReader(worker, TASKS).sample().slots == 4


class TestQueues:
    def test_before_it_is_connected_a_worker_has_the_queues_that_it_will_consume(self, worker, app):
        app.amqp.queues.select(["a", "b"])
        assert OccupancyReader(worker, TASKS).sample().queues == ("a", "b")

    def test_a_worker_has_the_queues_that_it_consumes_or_consumed_last(self, worker, app):
        read = OccupancyReader(worker, TASKS)
        consumer = worker.consumer
        with app.connection() as connection:
            consumer.task_consumer = app.amqp.TaskConsumer(connection)
            assert read.sample().queues == ("celery",)
            consumer.add_task_queue("late")
            assert read.sample().queues == ("celery", "late")
            consumer.cancel_task_queue("celery")
            assert read.sample().queues == ("late",)
            consumer.task_consumer = None
            assert read.sample().queues == ("late",)


class TestOrdinary:
    def test_an_ordinary_task_counts_after_half_a_second(self, worker, app, monkeypatch):
        clock = Clock(monkeypatch)
        read = OccupancyReader(worker, TASKS)
        task = request(app, "shop.report", "1")
        state.task_accepted(task)
        read.sample()
        clock.now += 0.49
        assert read.sample().ordinary == 0
        clock.now += 0.01
        assert read.sample().ordinary == 1
        state.task_ready(task)
        assert read.sample().ordinary == 0

    def test_the_duration_counts_from_the_start_that_celery_noted(self, worker, app, monkeypatch):
        """A sample that comes late knows how long the task has run already."""
        clock = Clock(monkeypatch)
        read = OccupancyReader(worker, TASKS)
        clock.now += 3
        task = request(app, "shop.report", "1")
        task.time_start = time.time() - 1
        state.task_accepted(task)
        assert read.sample().ordinary == 1

    def test_a_wall_clock_that_was_set_changes_nothing(self, worker, app, monkeypatch):
        clock = Clock(monkeypatch)
        read = OccupancyReader(worker, TASKS)
        early, late = request(app, "shop.report", "1"), request(app, "shop.report", "2")
        early.time_start, late.time_start = time.time() - 3600, time.time() + 3600
        for task in (early, late):
            state.task_accepted(task)
        assert read.sample().ordinary == 0
        clock.now += 0.5
        assert read.sample().ordinary == 2

    def test_the_next_task_of_a_slot_counts_from_its_own_start(self, worker, app, monkeypatch):
        """Even if its request has the same place in memory as the last one."""
        clock = Clock(monkeypatch)
        read = OccupancyReader(worker, TASKS)
        for number in range(50):
            task = request(app, "shop.report", str(number))
            state.task_accepted(task)
            read.sample()
            clock.now += 0.25
            assert read.sample().ordinary == 0
            state.task_ready(task)
            del task

    def test_jobs_do_not_count_and_tasks_with_ids_like_theirs_do(self, worker, app, monkeypatch):
        clock = Clock(monkeypatch)
        read = OccupancyReader(worker, TASKS)
        mine = job(app, 1, "jobs.plain")
        others = [
            request(app, "shop.report", f"bridge-{claim_id(2)}-1"),
            request(app, "jobs.plain", "a-call"),
            request(app, "jobs.plain", 7),
        ]
        for each in (mine, *others):
            state.task_accepted(each)
        read.sample()
        clock.now += 1
        assert read.sample().ordinary == 3
        assert read.active() == read.claims() == {claim_id(1)}


class TestHeldBack:
    def test_jobs_that_wait_for_a_rate_limit_are_held_back(self, worker, app):
        """Celery keeps them in no other list; ordinary calls wait in the same bucket."""
        read, consumer = OccupancyReader(worker, TASKS), worker.consumer
        bucket = consumer.task_buckets["jobs.limited"]
        requests = [job(app, 1), request(app, "jobs.limited", "a-call"), job(app, 2), job(app, 3)]
        consumer.on_task_request = lambda request: None
        for each in requests:
            consumer._limit_task(each, bucket, 1)
        assert read.sample().held_back == {claim_id(2), claim_id(3)}
        assert read.claims() == {claim_id(1), claim_id(2), claim_id(3)}
        consumer.on_close()
        assert read.sample().held_back == frozenset()

    def test_jobs_are_held_back_after_the_rate_was_changed_too(self, worker, app):
        """Celery gives the task another bucket, and empties the old one at the old rate."""
        read, consumer = OccupancyReader(worker, TASKS), worker.consumer
        consumer.on_task_request = lambda request: None
        bucket = consumer.task_buckets["jobs.limited"]
        for number in (1, 2, 3):
            consumer._limit_task(job(app, number), bucket, 1)
        read.sample()
        app.tasks["jobs.limited"].rate_limit = "1/h"
        consumer.reset_rate_limits()
        assert consumer.task_buckets["jobs.limited"] is not bucket
        assert read.sample().held_back == {claim_id(2), claim_id(3)}
        # One that was never sampled is found by the timer that waits for it.
        assert OccupancyReader(worker, TASKS).claims() >= {claim_id(2), claim_id(3)}

    def test_jobs_that_may_run_within_a_second_are_not_held_back(self, worker, app):
        app.tasks["jobs.limited"].rate_limit = "2/s"
        worker.consumer.reset_rate_limits()
        worker.consumer.on_task_request = lambda request: None
        bucket = worker.consumer.task_buckets["jobs.limited"]
        for number in range(1, 6):
            worker.consumer._limit_task(job(app, number), bucket, 1)
        assert OccupancyReader(worker, TASKS).sample().held_back == {claim_id(4), claim_id(5)}

    def test_jobs_that_wait_in_timers_are_claims_of_the_worker(self, worker, app):
        """Celery 5.5 and 5.6 keep a retry that waits for its time in no other place."""
        worker.consumer.timer.call_after(60, lambda r: None, (job(app, 1),))
        worker.consumer.timer.call_after(60, lambda: None)
        worker.consumer.timer.call_after(60, lambda x: None, ("text",))
        assert OccupancyReader(worker, TASKS).claims() == {claim_id(1)}


class TestFetches:
    @pytest.fixture
    def consumer(self, worker, app):
        with app.connection() as connection:
            consumer = worker.consumer
            consumer.connection = connection
            consumer.task_consumer = app.amqp.TaskConsumer(connection)
            consumer.task_consumer.consume()
            consumer.task_consumer.qos(prefetch_count=2)
            yield consumer

    @staticmethod
    def after_samples(read: OccupancyReader) -> bool:
        return [read.sample().fetches for _ in range(FETCHES_SAMPLES)][-1]

    def test_a_worker_fetches_when_it_has_had_room_for_a_second(self, consumer, worker):
        read = OccupancyReader(worker, TASKS)
        said = [read.sample().fetches for _ in range(FETCHES_SAMPLES + 1)]
        assert said == [False] * (FETCHES_SAMPLES - 1) + [True, True]

    def test_a_worker_with_a_full_prefetch_count_does_not_fetch(self, consumer, worker):
        read = OccupancyReader(worker, TASKS)
        qos = consumer.task_consumer.channel.qos
        for tag in ("1", "2"):
            qos.append(None, tag)
        assert not self.after_samples(read)
        qos.ack("1")
        assert self.after_samples(read)

    def test_a_worker_with_full_slots_does_not_fetch(self, consumer, worker, app):
        """A solo worker fetches nothing while it runs a job, whatever its prefetch count."""
        state.task_accepted(running := job(app, 1))
        assert not self.after_samples(read := OccupancyReader(worker, TASKS))
        state.task_ready(running)
        assert self.after_samples(read)

    def test_a_worker_without_a_queue_does_not_fetch(self, consumer, worker):
        consumer.cancel_task_queue("celery")
        assert not self.after_samples(OccupancyReader(worker, TASKS))

    def test_a_worker_without_a_connection_does_not_fetch(self, consumer, worker):
        consumer.connection.collect()
        assert not self.after_samples(OccupancyReader(worker, TASKS))

    def test_worker_disable_prefetch_decides_whether_a_worker_fetches(self, consumer, worker):
        consumer.task_consumer.channel.qos.can_consume = lambda: False
        assert not self.after_samples(OccupancyReader(worker, TASKS))

    def test_where_the_broker_counts_messages_celerys_own_lists_decide(self, consumer, worker, app):
        """RabbitMQ counts them itself, and kombu's channel for it has no count."""
        consumer.task_consumer.channel = SimpleNamespace()
        worker.pool.limit, consumer.initial_prefetch_count = 4, 2
        read = OccupancyReader(worker, TASKS)
        assert self.after_samples(read)
        requests = [job(app, number, "jobs.plain") for number in (1, 2)]
        for each in requests:
            state.task_reserved(each)
        assert not self.after_samples(read)
        consumer.initial_prefetch_count = 0  # without a limit
        assert self.after_samples(read)


def test_what_cannot_be_read_does_not_end_the_lease(worker, app, caplog):
    """Another version of Celery may have none of it; the log says so once."""
    app.amqp.queues.select(["a"])
    read = OccupancyReader(worker, TASKS)
    first = read.sample()
    state.task_accepted(running := job(app, 1, "jobs.plain"))
    worker.consumer.task_buckets = {"jobs.limited": object()}
    worker.consumer.timer = object()
    worker.consumer.task_consumer = SimpleNamespace(queues=[object()])
    for _ in range(3):
        seen = read.sample()
        assert (seen.slots, seen.queues, seen.fetches) == (first.slots, (), False)
        assert read.claims() == {claim_id(1)}
    assert caplog.text.count("cannot be read") == 1
    del running
