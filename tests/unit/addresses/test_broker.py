"""The claim store that follows from an app's broker: the same, or one sentence."""

from __future__ import annotations

import os
import ssl

import pytest
from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

import bridge
from bridge.addresses.broker import scheme_of, store_url_without_kombu
from bridge.addresses.store_url import Address, Kind, parse
from bridge.errors import SettingsError
from bridge.healthcheck import Unknown
from bridge.healthcheck.celery_process import CeleryProcess
from bridge.healthcheck.store_url import store_of as store_of_process

SERVER = Address(Kind.SERVER, (("h", 6379),))
VERIFIED = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
OPEN = {"ssl_cert_reqs": ssl.CERT_NONE}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in os.environ:
        if name.startswith(("BRIDGE_", "CELERY_")):
            monkeypatch.delenv(name)


def store_of(**conf) -> Address:
    app = Celery("app", set_as_current=False)
    app.conf.update(conf)
    bridge.install(app)
    return parse(app.bridge.settings.store_url)


def tls(**options) -> Address:
    return Address(Kind.SERVER, (("h", 6379),), tls=True, options=options)


@pytest.mark.parametrize(
    ("conf", "address"),
    [
        ({"broker_url": "redis://h"}, SERVER),
        ({"broker_url": "redis://h:6379/0"}, SERVER),
        ({"broker_url": "redis://h:1/3"}, Address(Kind.SERVER, (("h", 1),), db=3)),
        ({"broker_url": "redis://[::1]"}, Address(Kind.SERVER, (("::1", 6379),))),
        ({"broker_url": "redis://"}, Address(Kind.SERVER, (("127.0.0.1", 6379),))),
        (
            {"broker_url": "redis://u:p%40ss%2F@h"},
            Address(Kind.SERVER, (("h", 6379),), username="u", password="p@ss/"),
        ),
        (
            {"broker_url": "redis://h?credential_provider=shop.aws.Iam"},
            Address(Kind.SERVER, (("h", 6379),), options={"credential_provider": "shop.aws.Iam"}),
        ),
        # Without a URL
        ({"broker_transport": "redis"}, Address(Kind.SERVER, (("127.0.0.1", 6379),))),
        (
            {
                "broker_host": "h",
                "broker_transport": "redis",
                "broker_vhost": "3",
                "broker_password": "p",
            },
            Address(Kind.SERVER, (("h", 6379),), db=3, password="p"),
        ),
        (
            {"broker_url": "redis://h", "broker_transport": "kombu.transport.redis:Transport"},
            SERVER,
        ),
        # Lists of one server, and the halves
        ({"broker_url": ["redis://h/3"]}, Address(Kind.SERVER, (("h", 6379),), db=3)),
        ({"broker_url": ("redis://h", "redis://h:6379/0")}, SERVER),
        ({"broker_url": "redis://h;redis://h:6379/0"}, SERVER),
        ({"broker_read_url": "redis://h", "broker_write_url": "redis://h"}, SERVER),
        ({"broker_read_url": "redis://h", "broker_write_url": "redis://h:6379/0"}, SERVER),
        # TLS
        ({"broker_url": "rediss://h"}, tls(**OPEN)),
        ({"broker_url": "rediss://h?ssl_cert_reqs=CERT_NONE"}, tls(**OPEN)),
        ({"broker_url": "rediss://h?ssl_cert_reqs=none"}, tls(**OPEN)),
        ({"broker_url": "rediss://h?ssl_cert_reqs=CERT_REQUIRED"}, tls(**VERIFIED)),
        ({"broker_url": "rediss://h?ssl_cert_reqs=required"}, tls(**VERIFIED)),
        (
            {"broker_url": "rediss://h?ssl_cert_reqs=CERT_OPTIONAL"},
            tls(ssl_cert_reqs=ssl.CERT_OPTIONAL),
        ),
        (
            {"broker_url": "rediss://h?ssl_ca_certs=/ca.pem&ssl_check_hostname=false"},
            tls(ssl_ca_certs="/ca.pem", ssl_check_hostname=False),
        ),
        (
            {"broker_url": "rediss://h", "broker_use_ssl": {**VERIFIED, "ssl_ca_certs": "/ca"}},
            tls(**VERIFIED, ssl_ca_certs="/ca"),
        ),
        ({"broker_url": "redis://h", "broker_use_ssl": OPEN}, tls(**OPEN)),
        ({"broker_url": "redis://h", "broker_use_ssl": {"ssl_cert_reqs": None}}, tls(**OPEN)),
        ({"broker_url": "redis://h", "broker_use_ssl": {"ssl_cert_reqs": 2}}, tls(**VERIFIED)),
        ({"broker_url": "redis://h", "broker_use_ssl": {"ssl_keyfile": None}}, tls(**VERIFIED)),
        (
            {
                "broker_url": "redis://h",
                "broker_use_ssl": {
                    "ssl_certfile": "/c",
                    "ssl_keyfile": "/k",
                    "ssl_check_hostname": True,
                    "ssl_password": "p",
                    "ssl_min_version": ssl.TLSVersion.TLSv1_3,
                },
            },
            tls(
                ssl_certfile="/c",
                ssl_keyfile="/k",
                ssl_check_hostname=True,
                ssl_password="p",
                ssl_min_version=ssl.TLSVersion.TLSv1_3,
            ),
        ),
        ({"broker_url": "redis://h", "broker_use_ssl": False}, SERVER),
        # Sockets
        ({"broker_url": "redis+socket:///r.sock"}, Address(Kind.SOCKET, path="/r.sock")),
        (
            {"broker_url": "redis+socket://u:p@/r%20s?virtual_host=3"},
            Address(Kind.SOCKET, path="/r s", db=3, username="u", password="p"),
        ),
        (
            {"broker_url": "redis+socket:///r.sock?db=3"},  # which kombu does not listen to
            Address(Kind.SOCKET, path="/r.sock"),
        ),
        # Sentinels
        (
            {
                "broker_url": "sentinel://:p@h1:26379;sentinel://:p@h2:1/",
                "broker_transport_options": {
                    "master_name": "m",
                    "min_other_sentinels": 1,
                    "sentinel_kwargs": {"password": "s", "ssl": True, "ssl_cert_reqs": "none"},
                },
            },
            Address(
                Kind.SENTINEL,
                (("h1", 26379), ("h2", 1)),
                password="p",
                master_name="m",
                min_other_sentinels=1,
                sentinel_options={"password": "s", "ssl": True, **OPEN},
            ),
        ),
        (
            {
                "broker_url": "sentinel://h1;h2;h3/0",
                "broker_transport_options": {"master_name": "m"},
                "broker_use_ssl": VERIFIED,
            },
            Address(
                Kind.SENTINEL,
                (("h1", 26379), ("h2", 26379), ("h3", 26379)),
                master_name="m",
                tls=True,
                options=VERIFIED,
            ),
        ),
        (
            {
                "broker_url": ["sentinel://h1/2", "sentinel://h2/2"],
                "broker_transport_options": {"master_name": "m"},
            },
            Address(Kind.SENTINEL, (("h1", 26379), ("h2", 26379)), db=2, master_name="m"),
        ),
    ],
)
def test_the_store_is_the_redis_that_celery_uses(conf, address):
    assert store_of(**conf) == address


@pytest.mark.parametrize(
    ("conf", "says"),
    [
        ({}, "none is set.*not Redis"),
        ({"broker_url": "amqp://u:s3cret@h//"}, "not Redis"),
        ({"broker_url": "memory://"}, "not Redis"),
        ({"broker_url": "filesystem://"}, "not Redis"),
        ({"broker_url": "sqla+sqlite:///db"}, "Celery cannot read it|no Redis"),
        ({"broker_url": "confluentkafka://h"}, "Celery cannot read it|no Redis"),
        ({"broker_url": "unix:///r.sock"}, "Celery cannot read it"),
        ({"broker_url": "redis+cluster://h"}, r"Celery has no redis\+cluster://"),
        ({"broker_url": "redis://h?colour=red&password=s3cret"}, "Celery cannot read it"),
        ({"broker_url": "redis://:s3cret/x@h"}, "Celery cannot read it"),
        ({"broker_url": "redis://h/shop"}, "'shop' is not the number of a database"),
        ({"broker_url": ["redis://:s3cret@h1/0", "redis://h2/0"]}, "between its 2 servers"),
        ({"broker_url": "redis://:s3cret@h1/3;redis://h2/3"}, "between its 2 servers"),
        ({"broker_url": ["redis://h1", "amqp://h2"]}, "not Redis"),
        (
            {"broker_read_url": "redis://:s3cret@h/1", "broker_write_url": "redis://h/2"},
            r"redis://:\*\*\*@h/1: Celery reads from it and writes to redis://h/2",
        ),
        ({"broker_read_url": "redis://h/1"}, "not Redis"),
        (
            {"broker_url": "redis://:s3cret@h", "broker_use_ssl": True},
            r"broker_use_ssl=True leaves Celery's connections to Redis without TLS",
        ),
        ({"broker_url": "rediss://h", "broker_use_ssl": True}, "without TLS"),
        (
            {"broker_url": "rediss://h", "broker_use_ssl": {"ca_certs": "s3cret"}},
            "broker_use_ssl has 'ca_certs', which the claim store does not know",
        ),
        (
            {"broker_url": "rediss://h", "broker_use_ssl": {"ssl_cert_reqs": "maybe"}},
            "ssl_cert_reqs='maybe' is not ssl",
        ),
        (
            {"broker_url": "redis+socket:///r", "broker_use_ssl": OPEN},
            "a Unix socket does not have",
        ),
        ({"broker_url": "sentinel://h1;sentinel://h2"}, "has no master_name"),
        (
            {
                "broker_url": "sentinel://h1",
                "broker_transport_options": {
                    "master_name": "m",
                    "sentinel_kwargs": {"retry": object()},
                },
            },
            "sentinel_kwargs has 'retry'",
        ),
    ],
)
def test_an_underivable_store_is_refused_in_one_sentence(conf, says):
    with pytest.raises(SettingsError, match=says) as caught:
        store_of(**conf)
    message = str(caught.value)
    assert message.endswith("Set BRIDGE_STORE_URL=redis://… to the Redis for claims.")
    assert caught.value.exit_code == 2
    assert "s3cret" not in message
    assert "\n" not in message


def test_variables_of_celery_win_over_the_configuration(monkeypatch):
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://env/4")
    address = store_of(broker_url="redis://h")
    assert address == Address(Kind.SERVER, (("env", 6379),), db=4)


def test_bridge_store_url_wins_over_every_broker(monkeypatch):
    monkeypatch.setenv("BRIDGE_STORE_URL", "redis://claims/1")
    assert store_of(broker_url="amqp://h") == Address(Kind.SERVER, (("claims", 6379),), db=1)


def test_an_alias_of_kombus_redis_transport_is_redis(monkeypatch):
    monkeypatch.setitem(TRANSPORT_ALIASES, "valkey", "kombu.transport.redis:Transport")
    assert store_of(broker_url="valkey://h") == SERVER


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:p%40ss@h:1/3",
        "rediss://h",
        "rediss://h?ssl_cert_reqs=CERT_REQUIRED",
        "redis://h?ssl_ca_certs=/ca.pem",
    ],
)
def test_the_url_read_without_kombu_is_the_same(url):
    assert parse(store_url_without_kombu(url)) == store_of(broker_url=url)


def process(*args: str) -> CeleryProcess:
    return CeleryProcess(1, args)


def test_a_health_check_finds_the_store_from_the_environment(monkeypatch):
    assert store_of_process(process("-A", "bridge", "poll")) == "redis://127.0.0.1:6379/0"
    assert store_of_process(process()) == "redis://127.0.0.1:6379/0"
    monkeypatch.setenv("CELERY_BROKER_URL", "redis+socket:///r.sock")
    assert store_of_process(process("-A", "shop", "worker")) == "unix:///r.sock"
    assert store_of_process(process("-b", "redis://h/1", "worker")) == "redis://h:6379/1"


@pytest.mark.parametrize("broker", ["", "sentinel://h1;sentinel://h2", "amqp://h"])
def test_a_health_check_says_when_only_the_app_knows_the_store(monkeypatch, broker):
    monkeypatch.setenv("CELERY_BROKER_URL", broker)
    with pytest.raises(Unknown, match="The app is not loaded here: set BRIDGE_STORE_URL"):
        store_of_process(process("-A", "shop", "worker"))


@pytest.mark.parametrize(
    ("broker", "scheme"),
    [
        (None, "amqp"),
        ("redis://h", "redis"),
        ("redis+socket:///r", "redis"),
        (["sentinel://h", "sentinel://i"], "sentinel"),
        ("sqs://", "sqs"),
    ],
)
def test_the_scheme_of_every_form_of_a_broker(broker, scheme):
    assert scheme_of(broker) == scheme
