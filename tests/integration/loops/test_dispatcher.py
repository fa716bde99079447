"""Publishing the jobs of several claims, against a real broker."""

from __future__ import annotations

import json
import os
import uuid

import amqp.exceptions
import botocore.exceptions
import kombu.exceptions
import pytest
import redis
from celery import Celery, Task
from kombu.transport.redis import Channel, Transport

import bridge
from bridge.local.valkey import LocalValkey
from bridge.loops.dispatcher import BrokerUnavailable, Dispatcher, NotPublished, NotRegistered
from bridge.model import Claim, Outcome, claim_id_of
from bridge.store import UnfinishedJob
from bridge.worker.redis_transport import kombu_fixes
from tests.faults.proxy import Proxy
from tests.waiting import wait_until


def work(event):
    return event


@pytest.fixture
def broker(valkey):
    with Proxy("127.0.0.1", valkey.port) as proxy:
        yield proxy


@pytest.fixture
def app(valkey, broker, monkeypatch):
    for variable in list(os.environ):
        if variable.startswith(("BRIDGE_", "CELERY_")):
            monkeypatch.delenv(variable)
    name = f"q{uuid.uuid4().hex[:10]}"
    monkeypatch.setenv("BRIDGE_STORE_URL", valkey.url)
    monkeypatch.setenv("BRIDGE_STORE_PREFIX", name)
    app = Celery("dispatch", broker=f"{broker.url('redis')}/0", set_as_current=False)
    app.conf.broker_transport_options = {"socket_timeout": 2, "socket_connect_timeout": 2}
    app.conf.task_default_queue = name
    bridge.install(app)
    app.task(work, name="work", activity="work", shared=False)
    yield app
    app.close()


@pytest.fixture
def server(valkey):
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


def claims_of(count: int, activity: str = "work") -> list[Claim]:
    return [Claim(claim_id_of(f"{activity}-{n}"), activity, '{"n": 1}') for n in range(count)]


def queued(app, server) -> list[str]:
    """The ids of the jobs in the queue, oldest first."""
    messages = server.lrange(app.conf.task_default_queue, 0, -1)
    return [json.loads(message)["headers"]["id"] for message in reversed(messages)]


def test_jobs_are_published_in_order_and_share_a_round_trip(app, server):
    dispatcher, claims = Dispatcher(app.bridge), claims_of(20)
    assert dispatcher.publish_all(claims[:1]) == [None]  # connects
    before = server.info("stats")["total_reads_processed"]
    assert dispatcher.publish_all(claims[1:]) == [None] * 19
    reads = server.info("stats")["total_reads_processed"] - before
    assert queued(app, server) == [claim.job.id for claim in claims]
    assert reads < 19 / 2


def test_a_job_that_cannot_be_published_holds_up_no_other(app, server):
    good, bad = claims_of(2), claims_of(1, "unknown")
    failures = Dispatcher(app.bridge).publish_all([good[0], *bad, good[1]])
    assert [type(each) for each in failures] == [type(None), NotRegistered, type(None)]
    assert queued(app, server) == [claim.job.id for claim in good]


@pytest.mark.parametrize("connected", [True, False])
def test_no_job_counts_as_published_while_the_broker_is_away(app, server, broker, connected):
    dispatcher, claims = Dispatcher(app.bridge), claims_of(4)
    if connected:
        assert dispatcher.publish_all(claims[:1]) == [None]
    broker.refuse()
    failures = dispatcher.publish_all(claims[1:])
    assert [type(each) for each in failures] == [BrokerUnavailable] * 3
    assert "published again" in str(failures[0])

    broker.heal()
    assert dispatcher.publish_all(claims[1:]) == [None] * 3
    assert set(queued(app, server)) >= {claim.job.id for claim in claims[1:]}


@pytest.mark.parametrize("optimizations", ["on", "off"])
def test_jobs_are_published_when_the_brokers_name_leads_to_another_server(
    app, broker, valkey, server, monkeypatch, optimizations
):
    """As ElastiCache fails over: the old primary lives on, and so does our connection to it."""
    monkeypatch.setenv("BRIDGE_OPTIMIZATIONS", optimizations)
    monkeypatch.setattr(Transport, "Channel", Channel)
    if optimizations == "on":
        kombu_fixes.fix_channels()
    with LocalValkey() as old:
        broker.target = ("127.0.0.1", old.port)
        dispatcher, (first, second) = Dispatcher(app.bridge), claims_of(2)
        assert dispatcher.publish_all([first]) == [None]
        broker.target = ("127.0.0.1", valkey.port)
        with redis.Redis(port=old.port) as admin:
            admin.replicaof("127.0.0.1", valkey.port)
        wait_until(lambda: dispatcher.publish_all([second]) == [None])
        assert queued(app, server) == [second.job.id]


def test_jobs_are_published_again_after_a_lost_answer(app, server, broker):
    """The broker has the jobs; their fence makes the second copy harmless."""
    dispatcher, claims = Dispatcher(app.bridge), claims_of(3)
    assert dispatcher.publish_all(claims[:1]) == [None]
    broker.drop_next_reply(b"LPUSH")
    failures = dispatcher.publish_all(claims[1:])
    assert [type(each) for each in failures] == [BrokerUnavailable] * 2
    assert dispatcher.publish_all(claims[1:]) == [None] * 2
    ids = queued(app, server)
    assert [ids.count(claim.job.id) for claim in claims] == [1, 2, 2]


def shown(app, server, text: str) -> tuple[str, str]:
    """What Flower shows of a job with this input: published by us, and by Celery alone."""
    claim = Claim(claim_id_of(text), "work", text)
    assert Dispatcher(app.bridge).publish_all([claim]) == [None]
    app.tasks["work"].apply_async((claim.argument,))
    celerys, ours = (
        json.loads(message)["headers"]
        for message in server.lrange(app.conf.task_default_queue, 0, 1)
    )
    assert ours["kwargsrepr"] == celerys["kwargsrepr"]
    return ours["argsrepr"], celerys["argsrepr"]


@pytest.mark.parametrize("text", ['{"a": "b", "n": [1, true, null]}', '"' + "x" * 200_000 + '"'])
def test_flower_is_shown_what_celery_would_show(app, server, text):
    """Of a long input its beginning."""
    ours, celerys = shown(app, server, text)
    assert ours == celerys
    assert len(ours) < 2_000


def test_flower_is_shown_all_of_a_short_input(app, server):
    ours, celerys = shown(app, server, '{"a": {"b": {"c": {"d": 1}}}}')
    assert "..." in celerys
    assert ours == "({'a': {'b': {'c': {'d': 1}}}},)"


def refused(code: str, message: str = "") -> Exception:
    """An error answer of SQS, as botocore raises it; kombu lets it through."""
    return botocore.exceptions.ClientError(
        {"Error": {"Code": code, "Message": message}}, "SendMessage"
    )


def caused(cause: Exception) -> Exception:
    """As Celery raises it for transports whose errors kombu knows."""
    error = kombu.exceptions.OperationalError(str(cause))
    error.__cause__ = cause
    return error


class Refused(Task):
    """A task whose publish fails as it is told."""

    errors: list[Exception] = []  # noqa: RUF012 (each test sets its own)

    def apply_async(self, *args, **options):
        if self.errors:
            raise self.errors.pop(0)
        return super().apply_async(*args, **options)


class Written(Task):
    """A task that is written as a class: Celery makes no header for it."""

    name = activity = "written"

    def run(self, event):
        return event


class Jobs:
    """Notes which claims fail."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def settle(self, job, outcome) -> str:
        self.outcomes.append(outcome)
        return "stored"


class TestWhatAFailureMeans:
    @pytest.fixture
    def jobs(self, app, monkeypatch):
        app.task(work, name="refused", activity="refused", base=Refused, shared=False)
        monkeypatch.setattr(type(app.bridge), "jobs", jobs := Jobs())
        return jobs

    @pytest.mark.parametrize(
        "error",
        [
            refused("Throttling"),
            refused("ExpiredToken"),
            refused("ServiceUnavailable"),
            refused("RequestTimeout"),
            refused("AccessDenied"),
            refused("InvalidParameterValue"),
            refused("AWS.SimpleQueueService.NonExistentQueue"),
            caused(amqp.exceptions.PreconditionFailed("inequivalent arg 'x-max-priority'")),
            caused(amqp.exceptions.NotFound("no exchange 'celery'")),
            kombu.exceptions.LimitExceeded(3),
            RuntimeError("a client's mistake"),
            AttributeError("'NoneType' object has no attribute 'send'"),
            TypeError("'NoneType' object is not subscriptable"),
            ValueError("I/O operation on closed file."),
        ],
        ids=repr,
    )
    def test_a_failure_that_may_pass_is_not_final(self, app, server, jobs, error):
        (claim,) = claims_of(1, "refused")
        app.tasks["refused"].errors = [error]
        with pytest.raises(NotPublished, match="published again") as caught:
            Dispatcher(app.bridge).publish(claim)
        assert not isinstance(caught.value, BrokerUnavailable)
        assert caught.value.retryable
        Dispatcher(app.bridge).publish(claim)
        assert queued(app, server) == [claim.job.id]
        assert jobs.outcomes == []

    @pytest.mark.parametrize(
        "error",
        [
            kombu.exceptions.OperationalError("away"),
            ConnectionResetError(),
            TimeoutError(),
            caused(redis.exceptions.ConnectionError("refused")),
            redis.exceptions.ReadOnlyError("You can't write against a read only replica."),
            redis.exceptions.ResponseError("MISCONF Valkey is configured to save RDB snapshots"),
        ],
        ids=repr,
    )
    def test_a_broken_connection_is_an_outage(self, app, server, jobs, error):
        app.tasks["refused"].errors = [error]
        with pytest.raises(BrokerUnavailable):
            Dispatcher(app.bridge).publish(*claims_of(1, "refused"))
        assert jobs.outcomes == []

    @pytest.mark.parametrize(
        "error",
        [
            kombu.exceptions.EncodeError("no JSON"),
            kombu.exceptions.SerializerNotInstalled("no such serializer"),
            refused("InvalidParameterValue", "Reason: Message must be shorter than 1048576 bytes."),
            refused("AWS.SimpleQueueService.BatchRequestTooLong"),
            caused(
                amqp.exceptions.PreconditionFailed(
                    "message size 20000000 is larger than configured max size 16777216"
                )
            ),
        ],
        ids=repr,
    )
    def test_the_claim_of_a_job_that_can_never_be_published_fails(self, app, server, jobs, error):
        app.tasks["refused"].errors = [error]
        Dispatcher(app.bridge).publish(*claims_of(1, "refused"))
        assert [outcome.error for outcome in jobs.outcomes] == ["Bridge.NotDispatched"]
        assert queued(app, server) == []

    @pytest.mark.parametrize("activity", ["work", "written"])
    def test_the_claim_of_a_job_that_cannot_be_routed_fails(self, app, server, jobs, activity):
        app.register_task(Written())

        def nowhere(name, args, kwargs, options, task=None, **_):
            raise LookupError("no region of this customer") if args else None

        app.bridge.registry  # noqa: B018 (built while every task still has a route)
        app.conf.task_routes = (nowhere,)
        app.amqp.flush_routes()
        app.amqp.router.routes = app.amqp.routes
        Dispatcher(app.bridge).publish(*claims_of(1, activity))
        assert "no region of this customer" in jobs.outcomes[0].cause

    def test_it_is_logged_once(self, app, jobs, caplog):
        app.tasks["refused"].errors = [refused("Throttling") for _ in range(20)]
        dispatcher = Dispatcher(app.bridge)
        for claim in claims_of(5, "refused"):
            with pytest.raises(NotPublished):
                dispatcher.publish(claim)
        assert caplog.text.count("is not dispatched yet") == 1
        assert "Throttling" in caplog.text

    def test_one_of_a_batch_holds_up_no_other(self, app, server, jobs):
        app.tasks["refused"].errors = [refused("Throttling")]
        good, bad = claims_of(2), claims_of(1, "refused")
        failures = Dispatcher(app.bridge).publish_all([good[0], *bad, good[1]])
        assert [type(each) for each in failures] == [type(None), NotPublished, type(None)]
        assert queued(app, server) == [claim.job.id for claim in good]

    def test_a_revocation_that_fails_is_logged_once(self, app, jobs, caplog, monkeypatch):
        dispatcher = Dispatcher(app.bridge)

        def revoke(*args, **options):
            raise refused("Throttling")

        monkeypatch.setattr(app.control, "revoke", revoke)
        for claim in claims_of(3):
            dispatcher.revoke_soon(UnfinishedJob(claim.job, "work"))
        wait_until(dispatcher._revocations.empty)
        wait_until(lambda: "is not revoked" in caplog.text)
        assert caplog.text.count("is not revoked") == 1
        assert "Traceback" not in caplog.text
