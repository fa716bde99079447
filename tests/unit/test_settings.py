"""Settings: read from the environment, checked at start, refused in one sentence."""

from __future__ import annotations

import os

import pytest

from bridge import settings
from bridge.errors import SettingsError


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in os.environ:
        if name.startswith("BRIDGE_"):
            monkeypatch.delenv(name)


def load(monkeypatch, broker_url="redis://localhost/0", **env):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return settings.load(broker_url=broker_url, env={**os.environ, **env})


def test_defaults(monkeypatch):
    loaded = load(monkeypatch)
    assert loaded.store_url == "redis://localhost/0"
    assert loaded.tasks == ("tasks",)
    assert loaded.lease_s == 15
    assert loaded.root_key == "{bridge}"


def test_values_come_from_the_environment(monkeypatch):
    loaded = load(
        monkeypatch,
        BRIDGE_STORE_URL="rediss://other/1",
        BRIDGE_TASKS="shop.tasks, shop.reports",
        BRIDGE_ACTIVITIES='{"resize": "images.resize"}',
        BRIDGE_LEASE_S="30",
    )
    assert loaded.store_url == "rediss://other/1"
    assert loaded.tasks == ("shop.tasks", "shop.reports")
    assert loaded.activities == {"resize": "images.resize"}
    assert loaded.lease_s == 30


def test_it_is_frozen(monkeypatch):
    with pytest.raises(ValueError, match="frozen"):
        load(monkeypatch).lease_s = 1


def test_an_unknown_name_is_refused_with_the_likely_one(monkeypatch):
    with pytest.raises(SettingsError, match=r"BRIDGE_LEASE_SECONDS.*Did you mean BRIDGE_LEASE_S\?"):
        load(monkeypatch, BRIDGE_LEASE_SECONDS="15")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("BRIDGE_LEASE_S", "soon", "BRIDGE_LEASE_S: .*number"),
        ("BRIDGE_LEASE_S", "0", "BRIDGE_LEASE_S: .*greater than or equal to 1"),
        ("BRIDGE_LEASE_S", "1.5", "twice BRIDGE_TICK_S=1"),
        ("BRIDGE_LOOK_AHEAD", "0.5", "BRIDGE_LOOK_AHEAD"),
        ("BRIDGE_HEARTBEAT_S", "0.5", "BRIDGE_HEARTBEAT_S=0.5 is below BRIDGE_TICK_S=1"),
        ("BRIDGE_HEARTBEAT_S", "nan", "BRIDGE_HEARTBEAT_S"),
        ("BRIDGE_TICK_S", "inf", "BRIDGE_TICK_S"),
        ("BRIDGE_POLL_TIMEOUT_S", "60", "greater than or equal to 65"),
        ("BRIDGE_MAX_POLLS_PER_ACTIVITY", "1001", "less than or equal to 1000"),
        ("BRIDGE_METRICS", "statsd", "BRIDGE_METRICS: .*'off', 'emf' or 'cloudwatch'"),
        ("BRIDGE_METRICS_PORT", "http", "BRIDGE_METRICS_PORT: .*integer"),
        ("BRIDGE_METRICS_PORT", "65536", "BRIDGE_METRICS_PORT: .*less than or equal to 65535"),
        ("BRIDGE_METRICS_HOST", "", "BRIDGE_METRICS_HOST: .*at least 1"),
        ("BRIDGE_STORE_PREFIX", "a b", "BRIDGE_STORE_PREFIX"),
        ("BRIDGE_STORE_URL", "amqp://x", "no Redis URL"),
        ("BRIDGE_ACTIVITIES", "{oops", "JSON"),
        ("BRIDGE_ROLES", "[]", "JSON object: account → ARN of a role"),
        ("BRIDGE_ROLES", '{"123456789012": "bridge"}', "no ARN of a role"),
        ("BRIDGE_ROLES", '{"1": "arn:aws:iam::123456789012:role/b"}', "of account 123456789012"),
        ("BRIDGE_ACTIVITIES", '{"bad name!": "t"}', "bad name!"),
        ("BRIDGE_TASKS", " , ", "BRIDGE_TASKS"),
    ],
)
def test_an_impossible_value_is_refused(monkeypatch, name, value, says):
    with pytest.raises(SettingsError, match=says) as caught:
        load(monkeypatch, **{name: value})
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_broker_that_is_no_redis_needs_a_store(monkeypatch):
    with pytest.raises(SettingsError, match=r"BRIDGE_STORE_URL") as caught:
        load(monkeypatch, broker_url="amqp://user:s3cret@rabbit//")
    assert "s3cret" not in str(caught.value)


def test_a_broker_that_is_no_redis_with_a_store(monkeypatch):
    loaded = load(monkeypatch, broker_url="amqp://rabbit//", BRIDGE_STORE_URL="redis://claims/0")
    assert loaded.store_url == "redis://claims/0"


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://:pw@host:1/0", "redis://:***@host:1/0"),
        ("rediss://user:p%40w@host/0", "rediss://user:***@host/0"),
        ("redis://host/0", "redis://host/0"),
        ("sentinel://:pw@a:1;sentinel://:pw@b:1", "sentinel://:***@a:1;sentinel://:***@b:1"),
    ],
)
def test_passwords_are_masked(url, masked):
    assert settings.mask_url(url) == masked


def test_a_bad_value_is_never_shown_when_it_holds_a_secret(monkeypatch):
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, BRIDGE_STORE_URL="http://user:s3cret@host")
    assert "s3cret" not in str(caught.value)
