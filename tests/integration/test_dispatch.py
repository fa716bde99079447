"""Publishing the jobs of several claims, against a real broker."""

from __future__ import annotations

import json
import os
import uuid

import pytest
import redis
from celery import Celery

import bridge
from bridge.dispatch import BrokerUnavailable, Dispatcher, NotRegistered
from bridge.model import Claim, claim_id_of
from tests.faults.proxy import Proxy


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


def test_they_are_published_in_order_and_share_a_round_trip(app, server):
    dispatcher, claims = Dispatcher(app.bridge), claims_of(20)
    assert dispatcher.publish_all(claims[:1]) == [None]  # connects
    before = server.info("stats")["total_reads_processed"]
    assert dispatcher.publish_all(claims[1:]) == [None] * 19
    reads = server.info("stats")["total_reads_processed"] - before
    assert queued(app, server) == [claim.job.id for claim in claims]
    assert reads < 19 / 2


def test_one_that_cannot_be_published_holds_up_no_other(app, server):
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


def test_a_lost_answer_means_again(app, server, broker):
    """The broker has the jobs, and nobody knows: their fence makes the second copy harmless."""
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
