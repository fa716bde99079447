"""Several jobs in one round trip: kombu's channel, a real Valkey."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from celery.concurrency import solo
from kombu import Connection, Consumer, Queue

from bridge.model import Job
from bridge.worker.redis_transport.take_many import JOBS_IN_A_ROW, MOST, TakeMany

QUEUE = Queue("receiving")
TASK = "jobs.echo"
KOMBU_RAISES = (AttributeError, KeyError, TypeError, ValueError)
BRIDGE = SimpleNamespace(registry=SimpleNamespace(task_names=frozenset({TASK})))
OTHER = "5b9b2b5e-6d0a-4a35-9ed0-6b4a6b6e3b6e"


def job_id(number: int) -> str:
    return Job("0123456789abcdef01234567", number).id


class Worker:
    """As much of Celery's consumer as the bootstep sees; ``got`` are the ids that came."""

    def __init__(self, connection: Connection) -> None:
        self.got: list[str] = []
        self.refuses = ""
        self.connection = connection
        self.channel = connection.channel()
        self.task_consumer = Consumer(self.channel, [QUEUE], on_message=self._take)
        self.hub, self.pool = object(), SimpleNamespace()
        self.app = SimpleNamespace(
            conf=SimpleNamespace(worker_disable_prefetch=False), bridge=BRIDGE
        )
        self.step = TakeMany(self)
        self.step.start(self)
        self.task_consumer.consume()  # Celery does, once all steps have started

    def _take(self, message) -> None:
        if message.headers["id"] == self.refuses:
            raise ZeroDivisionError("a bug")
        self.got.append(message.headers["id"])
        message.ack()

    def publish(self, *ids: str) -> None:
        with self.connection.Producer(routing_key=QUEUE.name) as producer:
            for each in ids:
                producer.publish({}, headers={"id": each, "task": TASK})

    def take(self, *ids: str) -> None:
        """Publish them, and take them until all have come."""
        self.publish(*ids)
        wanted = len(self.got) + len(ids)
        while len(self.got) < wanted:
            self.connection.drain_events(timeout=5)


@contextmanager
def working(url: str, **options):
    with Connection(url, transport_options=options) as connection:
        yield Worker(connection)


@pytest.fixture
def worker(server, admin):
    with working(server.url) as worker:
        admin.config_resetstat()
        yield worker


def calls(admin, command: str) -> int:
    return admin.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]


def test_jobs_come_several_at_once_and_in_order(worker, admin):
    jobs = [job_id(number) for number in range(1, JOBS_IN_A_ROW + 10 * MOST + 1)]
    worker.take(*jobs)
    assert worker.got == jobs
    assert calls(admin, "blmpop") <= JOBS_IN_A_ROW + 11
    assert calls(admin, "brpop") == 0


def test_while_other_tasks_come_messages_are_taken_one_by_one(worker, admin):
    """Redis gives back only the ordinary tasks of which it was told."""
    ids = [OTHER if number % 10 == 0 else job_id(number) for number in range(1, 101)]
    worker.take(*ids)
    assert worker.got == ids
    assert calls(admin, "blmpop") >= len(ids)


def test_half_of_the_room_is_left_to_others(worker):
    worker.take(*[job_id(number) for number in range(1, JOBS_IN_A_ROW + 1)])
    room = worker.channel.qos
    assert worker.step.count(worker.channel) == MOST  # without limit
    for prefetch, count in [(100, MOST), (8, 4), (3, 1), (1, 1)]:
        room.prefetch_count = prefetch
        assert worker.step.count(worker.channel) == count


@pytest.mark.parametrize(
    "broken",
    ["refused", "no JSON", '{"headers": null}', "[]", "7", '"text"', "null", '{"headers": ["id"]}'],
)
def test_messages_after_one_that_fails_are_given_back(worker, admin, broken):
    worker.take(*[job_id(number) for number in range(1, JOBS_IN_A_ROW + 1)])
    worker.publish(job_id(101))
    if broken == "refused":
        worker.refuses = job_id(102)
        worker.publish(worker.refuses)
    else:
        admin.lpush(QUEUE.name, broken)
    worker.publish(*[job_id(number) for number in range(103, 110)])
    with pytest.raises((ZeroDivisionError, *KOMBU_RAISES)):
        worker.take("never")
    assert worker.got[JOBS_IN_A_ROW:] == [job_id(101)]
    while admin.llen(QUEUE.name):
        worker.connection.drain_events(timeout=5)
    assert worker.got[JOBS_IN_A_ROW + 1 : -1] == [job_id(number) for number in range(103, 110)]


def test_a_worker_that_stops_gives_back_what_it_has_just_been_sent(worker, admin):
    """Else kombu reads it when it closes the channel: after the last job, perhaps in an hour."""
    worker.take(*[job_id(number) for number in range(1, JOBS_IN_A_ROW + 1)])
    worker.publish(*[job_id(number) for number in range(101, 111)])
    before = admin.lrange(QUEUE.name, 0, -1)
    worker.channel._brpop_start()
    worker.step.stop(worker)
    assert not worker.channel._in_poll
    assert admin.lrange(QUEUE.name, 0, -1) == before
    assert len(worker.got) == JOBS_IN_A_ROW


def test_a_worker_that_stops_does_not_wait_for_what_does_not_come(worker, admin):
    worker.take(job_id(1))
    worker.channel._brpop_start()
    worker.step.stop(worker)
    assert worker.channel._in_poll  # kombu's to read, and ours to give back
    worker.publish(job_id(2))
    worker.channel.close()
    assert admin.llen(QUEUE.name) == 1


def test_it_goes_on_after_the_connection_was_lost(worker, admin, server):
    with working(server.url) as again:
        again.step, again.step._jobs_in_a_row = worker.step, JOBS_IN_A_ROW
        worker.step.stop(worker)
        again.step.start(again)
        admin.config_resetstat()
        again.take(*[job_id(number) for number in range(1, 31)])
        assert calls(admin, "blmpop") <= 4


def test_a_user_without_the_right_takes_messages_one_by_one(server, admin, caplog):
    """A Redis before 7 gives the same answer."""
    caplog.set_level("INFO")
    admin.execute_command("ACL SETUSER", "old", "reset", "on", ">s", "~*", "&*", "+@all", "-blmpop")
    admin.config_resetstat()
    with working(server.url.replace("redis://", "redis://old:s@")) as worker:
        worker.take(*[job_id(number) for number in range(1, 61)])
    assert calls(admin, "brpop") >= 60
    assert "Redis refuses BLMPOP" in caplog.text


def test_keys_with_a_prefix_are_left_to_kombu(server, admin):
    admin.config_resetstat()
    with working(server.url, global_keyprefix="mine-") as worker:
        worker.take(*[job_id(number) for number in range(1, 61)])
    assert (calls(admin, "brpop") >= 60, calls(admin, "blmpop")) == (True, 0)


@pytest.mark.parametrize("way", ["memory", "no loop", "solo", "disable_prefetch"])
def test_where_it_would_not_help_nothing_changes(server, way):
    url = "memory://" if way == "memory" else server.url
    with Connection(url) as connection:
        channel = connection.channel()
        consumer = SimpleNamespace(
            hub=None if way == "no loop" else object(),
            pool=solo.TaskPool(1) if way == "solo" else SimpleNamespace(),
            app=SimpleNamespace(
                conf=SimpleNamespace(worker_disable_prefetch=way == "disable_prefetch")
            ),
            task_consumer=Consumer(channel, [QUEUE]),
        )
        before = (type(channel), dict(vars(channel)))
        TakeMany(consumer).start(consumer)
        assert (type(channel), vars(channel)) == before
