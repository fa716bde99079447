"""What a worker tells Redis in batches: kombu's loop and channel, a real Valkey."""

from __future__ import annotations

from contextlib import closing, contextmanager
from types import SimpleNamespace

import pytest
import redis
from kombu import Connection, Producer, Queue
from kombu.asynchronous import Hub

from bridge.model import Job
from bridge.worker.redis_transport import kombu_fixes
from bridge.worker.redis_transport.batch_acks import RETRY_S, BatchAcks
from tests.waiting import wait_until

QUEUE = Queue("deliveries")
TASK = "jobs.echo"
BRIDGE = SimpleNamespace(registry=SimpleNamespace(task_names=frozenset({TASK})))


class Worker:
    """As much of Celery's consumer as the bootstep sees, on one connection to the broker."""

    def __init__(self, url: str) -> None:
        kombu_fixes.fix_channels()
        self.redis = redis.Redis.from_url(url)
        self.redis.flushall()
        self._url = url
        self._connections: list[Connection] = []
        self.app = SimpleNamespace(bridge=BRIDGE)
        self.hub = Hub()
        self._close_hub = self.hub.close
        self._loop = self.hub.create_loop()
        self.step = BatchAcks(self)
        self.connect()
        self.redis.config_resetstat()

    def connect(self) -> None:
        """Start, or start again after the connection was lost."""
        self._connections.append(Connection(self._url))
        self.task_consumer = SimpleNamespace(channel=self._connections[-1].channel())
        self.step.start(self)

    def close(self) -> None:
        """Give back what is left while there is a Redis to take it."""
        self.step.stop(self)
        for each in self._connections:
            each.close()
        self.redis.close()
        self._loop.close()
        self._close_hub()

    @property
    def channel(self):
        return self.task_consumer.channel

    def take(self, *ids: str) -> list:
        """Messages of these tasks, taken and not yet acknowledged."""
        QUEUE(self.channel).declare()
        producer = Producer(self.channel, routing_key=QUEUE.name)
        for each in ids:
            producer.publish({"id": each}, headers={"id": each, "task": TASK})
        return [QUEUE(self.channel).get() for _ in ids]

    def take_and_tell(self, *ids: str) -> list:
        """The same, and Redis knows of them."""
        taken = self.take(*ids)
        self.turns(lambda: self.unacked == (len(ids), len(ids)))
        return taken

    @property
    def unacked(self) -> tuple[int, int]:
        return self.redis.hlen("unacked"), self.redis.zcard("unacked_index")

    def calls(self, command: str) -> int:
        """How often Redis was given a command since the worker connected first."""
        return self.redis.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]

    def turn(self) -> None:
        """One turn of the worker's loop."""
        next(self._loop)

    def turns(self, done, *, timeout_s: float = 10.0) -> None:
        """Turns of the worker's loop until this is so."""

        def turned():
            self.turn()
            return done()

        wait_until(turned, timeout_s=timeout_s)


@pytest.fixture
def worker(server):
    with closing(Worker(server.url)) as worker:
        yield worker


@contextmanager
def refusing(worker):
    """Redis takes no writes for want of a replica."""
    worker.redis.config_set("min-replicas-to-write", 1)
    try:
        yield
    finally:
        worker.redis.config_set("min-replicas-to-write", 0)


def job_ids(count: int) -> list[str]:
    return [Job("0123456789abcdef01234567", attempt).id for attempt in range(1, count + 1)]


def test_jobs_share_round_trips(worker):
    """One for ten that are taken, one for ten that are done."""
    messages = worker.take_and_tell(*job_ids(10))
    for message in messages:
        message.ack()
    assert worker.unacked == (10, 10)
    worker.turns(lambda: worker.unacked == (0, 0))
    assert (worker.calls("hset"), worker.calls("hdel")) == (1, 1)


def test_redis_is_not_told_of_a_job_that_is_done_at_once(worker):
    for message in worker.take(*job_ids(3)):
        message.ack()
    (last,) = worker.take_and_tell(job_ids(4)[3])
    last.ack()
    worker.turns(lambda: worker.unacked == (0, 0))
    assert (worker.calls("hset"), worker.calls("hdel")) == (1, 1)


def test_room_for_the_next_message_does_not_wait(worker):
    worker.channel.basic_qos(0, 1, False)
    (message,) = worker.take_and_tell(*job_ids(1))
    assert not worker.channel.qos.can_consume()
    message.ack()
    assert worker.channel.qos.can_consume()
    assert worker.unacked == (1, 1)


def test_redis_is_told_of_other_tasks_at_once(worker):
    messages = worker.take("5b9b2b5e-6d0a-4a35-9ed0-6b4a6b6e3b6e", "bridge-heartbeat")
    assert worker.unacked == (2, 2)
    for message in messages:
        message.ack()
    assert worker.unacked == (0, 0)


@pytest.mark.parametrize("told", [True, False])
def test_a_rejected_job_is_gone(worker, told):
    (message,) = worker.take_and_tell(*job_ids(1)) if told else worker.take(*job_ids(1))
    message.reject()
    assert worker.unacked == (0, 0)
    worker.take_and_tell(job_ids(2)[1])  # Redis is told of this one, and only of it
    assert worker.unacked == (1, 1)
    assert QUEUE(worker.channel).get() is None


@pytest.mark.parametrize("told", [True, False])
def test_a_job_that_is_given_back_is_in_the_queue_again(worker, told):
    (message,) = worker.take_and_tell(*job_ids(1)) if told else worker.take(*job_ids(1))
    message.requeue()
    assert worker.unacked == (0, 0)
    assert QUEUE(worker.channel).get().payload == message.payload


def test_a_worker_that_stops_leaves_none_untold(worker):
    first, second, third = worker.take(*job_ids(3))
    first.ack()
    worker.step.stop(worker)
    assert worker.unacked == (2, 2)
    second.ack()  # a job that the worker finishes before it ends
    assert worker.unacked == (1, 1)
    worker.channel.close()  # gives back what has not begun
    assert worker.unacked == (0, 0)
    worker.connect()
    assert QUEUE(worker.channel).get().payload == third.payload


def test_a_worker_that_ends_without_a_stop_gives_back_what_it_took(worker):
    (message,) = worker.take(*job_ids(1))
    worker.channel.close()
    worker.connect()
    assert QUEUE(worker.channel).get().payload == message.payload


def test_a_broker_that_refuses_is_told_again(worker, caplog):
    """No replica takes its writes, as in a failover."""
    first, second = worker.take_and_tell(*job_ids(2))
    with refusing(worker):
        first.ack()
        worker.turns(lambda: "0 jobs taken and 1 done" in caplog.text)
        assert worker.unacked == (2, 2)
    worker.turns(lambda: worker.unacked == (1, 1), timeout_s=RETRY_S + 5)
    second.ack()
    worker.turns(lambda: worker.unacked == (0, 0))


def test_what_was_not_told_on_a_lost_connection_is_told_on_the_next(worker):
    done, runs = worker.take_and_tell(*job_ids(2))
    (taken,) = worker.take(job_ids(3)[2])
    done.ack()
    with refusing(worker):
        worker.step.stop(worker)
    assert worker.unacked == (2, 2)
    worker.connect()
    worker.turns(lambda: taken.delivery_tag.encode() in worker.redis.hkeys("unacked"))
    assert worker.unacked == (2, 2)
    runs.ack()  # jobs that went on while the broker was away
    taken.ack()
    worker.turns(lambda: worker.unacked == (0, 0))


def test_without_an_event_loop_nothing_is_batched(worker):
    """With a pool of greenlets no timer would tell Redis later."""
    worker.hub = None
    worker.step = BatchAcks(worker)
    worker.connect()
    (message,) = worker.take(*job_ids(1))
    assert worker.unacked == (1, 1)
    message.ack()
    assert worker.unacked == (0, 0)


def test_other_brokers_are_left_alone(worker):
    """kombu's memory transport has another QoS, and the channels of AMQP have none."""
    memory = Connection("memory://").channel()
    for channel in (memory, SimpleNamespace()):
        worker.task_consumer = SimpleNamespace(channel=channel)
        qos = getattr(channel, "qos", channel)
        before = (type(qos), dict(vars(qos)))
        worker.step.start(worker)
        assert (type(qos), vars(qos)) == before
