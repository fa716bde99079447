"""A broker that refuses writes for now: kombu's channel with the fixes, a real Valkey."""

from __future__ import annotations

import time
from queue import Empty
from types import SimpleNamespace

import pytest
from kombu import Connection, Consumer, Queue
from redis import exceptions

from bridge.store.redis_errors import has_moved
from bridge.worker.redis_transport import kombu_fixes
from bridge.worker.redis_transport.batch_acks import BatchAcks
from bridge.worker.redis_transport.refused_writes import (
    PAUSE_S,
    WaitOutRefusals,
    WriteRefused,
    is_refusal,
)
from tests.refused_writes import demoted, full, without_replicas
from tests.waiting import wait_until

QUEUE = Queue("refusals")
BRIDGE = SimpleNamespace(registry=SimpleNamespace(task_names=frozenset()))

REFUSALS = [
    exceptions.ReadOnlyError("You can't write against a read only replica."),
    exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
    exceptions.ResponseError("UNBLOCKED force unblock from blocking operation, instance state"),
    exceptions.ResponseError("MISCONF Valkey is configured to save RDB snapshots, but"),
    exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
    exceptions.ResponseError("BUSY Valkey is busy running a script."),
    exceptions.ExecAbortError("Transaction discarded because of: NOREPLICAS Not enough good"),
    exceptions.ResponseError("Error running script (call to f_0): @user_script:1: -READONLY You"),
    exceptions.ResponseError("Command # 1 (LPUSH q x) of pipeline caused error: MISCONF Valkey is"),
    exceptions.MovedError("866 127.0.0.1:7001"),
    exceptions.ClusterDownError("The cluster is down"),
]
ERRORS = [
    exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
    exceptions.NoPermissionError("this user has no permissions to run the 'set' command"),
    exceptions.ResponseError("BUSYKEY Target key name already exists."),
    exceptions.ResponseError("BUSYGROUP Consumer Group name already exists"),
    exceptions.ResponseError("unknown command 'BLMPOP'"),
    exceptions.ConnectionError("READONLY is no answer of a server here"),
]


@pytest.mark.parametrize("exc", REFUSALS, ids=str)
def test_a_refusal_is_recognised(exc):
    assert is_refusal(exc)


@pytest.mark.parametrize("exc", ERRORS, ids=str)
def test_another_error_is_no_refusal(exc):
    assert not is_refusal(exc)


def test_errors_of_a_server_that_is_no_primary_are_recognised():
    assert [has_moved(exc) for exc in REFUSALS] == [
        True,
        False,
        True,
        False,
        False,
        False,
        False,
        True,
        False,
        True,
        False,
    ]


class Worker:
    """A consumer of one queue; ``got`` are the bodies that came."""

    def __init__(self, connection: Connection) -> None:
        self.got: list[object] = []
        self.connection = connection
        self.channel = connection.channel()
        self.task_consumer = Consumer(self.channel, [QUEUE], on_message=self._take, accept=["json"])
        self.hub = None
        self.app = SimpleNamespace(bridge=BRIDGE)
        self.task_consumer.consume()

    def _take(self, message) -> None:
        self.got.append(message.payload)
        message.ack()

    def publish(self, body: object) -> None:
        with self.connection.Producer(routing_key=QUEUE.name) as producer:
            producer.publish(body, serializer="json")

    def drain(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self.connection.drain_events(timeout=0.1)
            except TimeoutError:
                continue


@pytest.fixture
def worker(server, admin):
    kombu_fixes.fix_channels()
    with Connection(server.url) as connection:
        yield Worker(connection)


def test_a_consumer_pauses_and_continues_on_the_same_connection(worker, admin, caplog):
    worker.publish("before")
    worker.drain(0.3)
    socket = worker.channel.client.connection._sock
    with without_replicas(admin):
        admin.config_resetstat()
        worker.drain(2.5)
        assert 1 <= admin.info("commandstats")["cmdstat_brpop"]["rejected_calls"] <= 4
    worker.publish("after")
    wait_until(lambda: worker.drain(0.1) or worker.got == ["before", "after"])
    assert worker.channel.client.connection._sock is socket
    assert caplog.text.count("refuses for now") == 1


def test_a_consumer_leaves_a_server_that_is_no_primary(worker, admin):
    """The primary may have a new address; to Celery a WriteRefused is a lost connection."""
    with demoted(admin):
        with pytest.raises(WriteRefused):
            worker.drain(3)
        with pytest.raises(WriteRefused):
            worker.channel._put(QUEUE.name, {"properties": {}})
    assert issubclass(WriteRefused, worker.connection.connection_errors)


def test_a_transaction_that_is_refused_ends(worker, admin):
    """A connection error inside it would make redis-py try again without end."""
    worker.channel.qos.append(
        SimpleNamespace(delivery_info={"exchange": "", "routing_key": QUEUE.name}, _raw={}), "tag"
    )
    with without_replicas(admin), pytest.raises(WriteRefused):
        worker.channel.qos.restore_by_tag("tag")
    worker.channel.qos.restore_by_tag("tag")
    assert admin.llen(QUEUE.name) == 1


def test_the_error_of_a_wrong_command_stays_as_it_is(worker, admin):
    admin.set(QUEUE.name, "no list")
    with pytest.raises(exceptions.ResponseError, match="WRONGTYPE") as caught:
        worker.channel._put(QUEUE.name, {"properties": {}})
    assert not isinstance(caught.value, exceptions.ConnectionError)
    with pytest.raises(exceptions.ResponseError, match="WRONGTYPE"):
        worker.drain(3)


def test_a_full_server_loses_no_message_that_it_has_given_away(worker, admin):
    """BRPOP works on a full server, and kombu's note of the message is refused."""
    step = BatchAcks(worker)
    step.start(worker)
    worker.publish("first")
    worker.publish("second")
    with full(admin):
        worker.drain(0.5)
        assert worker.got == ["first", "second"]
        assert not worker.channel.qos.can_consume_max_estimate()  # no limit; and none is held
    worker.publish("third")
    wait_until(lambda: worker.drain(0.1) or worker.got == ["first", "second", "third"])
    assert (admin.hlen("unacked"), admin.zcard("unacked_index")) == (0, 0)
    step.stop(worker)


def test_a_refused_acknowledgement_is_sent_again(worker, admin):
    step = BatchAcks(worker)
    step.start(worker)
    taken: list = []
    worker.task_consumer.on_message = taken.append
    worker.publish("first")
    worker.publish("second")
    worker.drain(0.5)
    worker.channel.basic_qos(0, 2, False)
    assert not worker.channel.qos.can_consume()
    with without_replicas(admin):
        taken[0].ack()
        taken[1].reject()
    assert worker.channel.qos.can_consume()
    assert admin.hlen("unacked") == 2
    worker.task_consumer.on_message = worker._take
    worker.publish("third")
    wait_until(lambda: worker.drain(0.1) or worker.got == ["third"])
    assert (admin.hlen("unacked"), admin.zcard("unacked_index")) == (0, 0)


class TestWaitOutRefusals:
    """Refusals of other calls in the worker's loop, such as those of a result backend."""

    def consumer(self, exc):
        def loop():
            raise exc

        return SimpleNamespace(
            loop=loop,
            on_connection_error_before_connected=str,
            on_connection_error_after_connected=str,
        )

    @pytest.mark.parametrize("exc", REFUSALS, ids=str)
    def test_a_refusal_is_a_connection_error(self, exc):
        consumer = self.consumer(exc)
        WaitOutRefusals(consumer)
        with pytest.raises(exceptions.ConnectionError):
            consumer.loop()

    @pytest.mark.parametrize("exc", [*ERRORS, Empty(), ValueError()], ids=repr)
    def test_another_error_stays_as_it_is(self, exc):
        consumer = self.consumer(exc)
        WaitOutRefusals(consumer)
        with pytest.raises(type(exc)) as caught:
            consumer.loop()
        assert caught.value is exc

    def test_celery_waits_after_a_refusal_before_it_connects_again(self):
        consumer = self.consumer(None)
        WaitOutRefusals(consumer)
        began = time.monotonic()
        consumer.on_connection_error_before_connected(WriteRefused("READONLY"))
        assert time.monotonic() - began >= PAUSE_S
        consumer.on_connection_error_after_connected(OSError("gone"))
        assert time.monotonic() - began < 2 * PAUSE_S
