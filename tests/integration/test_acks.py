"""Acknowledgements that share a round trip: kombu's loop and channel, a real Valkey."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import redis
from kombu import Connection, Producer, Queue
from kombu.asynchronous import Hub

from bridge import kombu_mend
from bridge.acks import AGAIN_S, GatherAcks
from bridge.local.valkey import LocalValkey
from bridge.model import Job
from tests.waiting import wait_until

QUEUE = Queue("acks")


class Worker:
    """As much of Celery's consumer as the bootstep sees, on one connection to the broker."""

    def __init__(self, url: str) -> None:
        kombu_mend.mend()
        self.redis = redis.Redis.from_url(url)
        self.redis.flushall()
        self._url = url
        self.hub = Hub()
        self._loop = self.hub.create_loop()
        self.step = GatherAcks(self)
        self.connect()
        self.redis.config_resetstat()

    def connect(self) -> None:
        """Start, or start again after the connection was lost."""
        self.task_consumer = SimpleNamespace(channel=Connection(self._url).channel())
        self.step.start(self)

    @property
    def channel(self):
        return self.task_consumer.channel

    def take(self, *ids: str) -> list:
        """Messages of these tasks, taken and not yet acknowledged."""
        QUEUE(self.channel).declare()
        producer = Producer(self.channel, routing_key=QUEUE.name)
        for each in ids:
            producer.publish({}, headers={"id": each})
        return [QUEUE(self.channel).get() for _ in ids]

    @property
    def unacked(self) -> tuple[int, int]:
        return self.redis.hlen("unacked"), self.redis.zcard("unacked_index")

    @property
    def round_trips(self) -> int:
        return self.redis.info("commandstats").get("cmdstat_hdel", {"calls": 0})["calls"]

    def turn(self) -> None:
        """One turn of the worker's loop."""
        next(self._loop)

    def turns(self, done, *, timeout_s: float = 10.0) -> None:
        """Turns of the worker's loop until this is so."""

        def turned():
            self.turn()
            return done()

        wait_until(turned, timeout_s=timeout_s)


@pytest.fixture(scope="module")
def server():
    with LocalValkey() as valkey:
        yield valkey


@pytest.fixture
def worker(server):
    return Worker(server.url)


def job_ids(count: int) -> list[str]:
    return [Job("0123456789abcdef01234567", attempt).id for attempt in range(1, count + 1)]


def test_jobs_share_a_round_trip(worker):
    for message in worker.take(*job_ids(10)):
        message.ack()
    assert worker.unacked == (10, 10)
    worker.turns(lambda: worker.unacked == (0, 0))
    assert worker.round_trips == 1


def test_room_for_the_next_message_does_not_wait(worker):
    worker.channel.basic_qos(0, 1, False)
    (message,) = worker.take(*job_ids(1))
    assert not worker.channel.qos.can_consume()
    message.ack()
    assert worker.channel.qos.can_consume()
    assert worker.unacked == (1, 1)


def test_other_tasks_are_acknowledged_at_once(worker):
    for message in worker.take("5b9b2b5e-6d0a-4a35-9ed0-6b4a6b6e3b6e", "bridge-heartbeat"):
        message.ack()
    assert worker.unacked == (0, 0)


def test_a_rejected_job_is_gone_at_once(worker):
    (message,) = worker.take(*job_ids(1))
    message.reject()
    assert worker.unacked == (0, 0)


def test_a_worker_that_stops_leaves_none(worker):
    first, second = worker.take(*job_ids(2))
    first.ack()
    worker.step.stop(worker)
    assert worker.unacked == (1, 1)
    second.ack()  # a job that the worker finishes before it ends
    assert worker.unacked == (0, 0)


def test_a_broker_that_refuses_hears_it_again(worker, caplog):
    """No replica takes its writes, as in the middle of a failover."""
    (message,) = worker.take(*job_ids(1))
    worker.redis.config_set("min-replicas-to-write", 1)
    try:
        message.ack()
        worker.turns(lambda: "1 acknowledgements wait for the broker" in caplog.text)
        assert worker.unacked == (1, 1)
    finally:
        worker.redis.config_set("min-replicas-to-write", 0)
    worker.turns(lambda: worker.unacked == (0, 0), timeout_s=AGAIN_S + 5)


def test_what_a_lost_connection_left_is_said_on_the_next(worker):
    first, second = worker.take(*job_ids(2))
    first.ack()
    worker.redis.config_set("min-replicas-to-write", 1)
    try:
        worker.step.stop(worker)
    finally:
        worker.redis.config_set("min-replicas-to-write", 0)
    assert worker.unacked == (2, 2)
    worker.connect()
    second.ack()  # its job went on while the broker was away
    worker.turns(lambda: worker.unacked == (0, 0))


def test_without_an_event_loop_nothing_is_gathered(server):
    """Pools of greenlets: there is no timer that would flush."""
    worker = Worker(server.url)
    worker.hub = None
    worker.step = GatherAcks(worker)
    worker.connect()
    (message,) = worker.take(*job_ids(1))
    message.ack()
    assert worker.unacked == (0, 0)
