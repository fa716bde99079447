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


def load(monkeypatch, **env):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return settings.load(derive_store=lambda: "redis://localhost/0", env={**os.environ, **env})


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


def test_settings_cannot_be_changed(monkeypatch):
    with pytest.raises(ValueError, match="frozen"):
        load(monkeypatch).lease_s = 1


def test_an_unknown_name_is_refused_with_a_suggestion(monkeypatch):
    with pytest.raises(SettingsError, match=r"BRIDGE_LEASE_SECONDS.*Did you mean BRIDGE_LEASE_S\?"):
        load(monkeypatch, BRIDGE_LEASE_SECONDS="15")


# Kubernetes 1.37 of a Service with a named port, and one of IPv6; Docker of a linked container.
SERVICE_LINKS = {
    "BRIDGE_SERVICE_HOST": "10.0.0.4",
    "BRIDGE_SERVICE_PORT": "9108",
    "BRIDGE_SERVICE_PORT_METRICS": "9108",
    "BRIDGE_PORT": "tcp://10.0.0.4:9108",
    "BRIDGE_PORT_9108_TCP": "tcp://10.0.0.4:9108",
    "BRIDGE_PORT_9108_TCP_PROTO": "tcp",
    "BRIDGE_PORT_9108_TCP_PORT": "9108",
    "BRIDGE_PORT_9108_TCP_ADDR": "10.0.0.4",
    "BRIDGE_METRICS_SERVICE_HOST": "fd00::4",
    "BRIDGE_LEASE_S_PORT": "udp://[fd00::4]:53",
    "BRIDGE_LEASE_S_PORT_53_UDP": "udp://[fd00::4]:53",
    "BRIDGE_LEASE_S_PORT_53_UDP_ADDR": "fd00::4",
    "BRIDGE_A_PORT_1_SCTP_PROTO": "sctp",
    "BRIDGE_NAME": "/web/bridge",
    "BRIDGE_ENV_LANG": "C.UTF-8",
}


def test_variables_of_a_service_named_bridge_are_ignored(monkeypatch):
    plain = load(monkeypatch)
    assert load(monkeypatch, **SERVICE_LINKS) == plain


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BRIDGE_PORT", "9108"),
        ("BRIDGE_METRICS_PORTS", "tcp://10.0.0.4:9108"),
        ("BRIDGE_STORE_SERVICE_HOST", "redis.example"),
        ("BRIDGE_SERVICE_PORT", "http"),
        ("BRIDGE_PORT_9108_TCP_PROTO", "http"),
        ("BRIDGE_PORT_9108_TCP_PORT", ""),
        ("BRIDGE_PORT_9108_TCP_ADDR", "host"),
        ("BRIDGE_NAME", "shop"),
        ("BRIDGE_ENV_LANG", "C.UTF-8"),
    ],
)
def test_a_misspelt_setting_is_not_mistaken_for_a_variable_of_a_service(monkeypatch, name, value):
    with pytest.raises(SettingsError, match=f"{name} is not a setting of the bridge"):
        load(monkeypatch, **{name: value})


def test_a_service_variable_with_the_name_of_a_setting_is_refused(monkeypatch):
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, BRIDGE_METRICS_PORT="tcp://10.0.0.4:9108")
    assert str(caught.value) == (
        "BRIDGE_METRICS_PORT=tcp://10.0.0.4:9108 is not a setting: Kubernetes makes this "
        "variable for a Service named 'bridge-metrics'. Set enableServiceLinks: false in the pod's "
        "spec, give BRIDGE_METRICS_PORT a value there, or rename the Service."
    )


def test_a_value_of_the_pod_wins_over_the_variable_of_a_service(monkeypatch):
    service = {"BRIDGE_METRICS_SERVICE_HOST": "10.0.0.4", "BRIDGE_METRICS_SERVICE_PORT": "9108"}
    assert load(monkeypatch, BRIDGE_METRICS_PORT="9108", **service).metrics_port == 9108


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
        ("BRIDGE_STORE_URL", "amqp://x", "not a Redis URL"),
        ("BRIDGE_ACTIVITIES", "{oops", "JSON"),
        ("BRIDGE_ROLES", "[]", "JSON object: account → ARN of a role"),
        ("BRIDGE_ROLES", '{"123456789012": "bridge"}', "not the ARN of a role"),
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


def test_a_bad_value_is_never_shown_when_it_holds_a_secret(monkeypatch):
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, BRIDGE_STORE_URL="http://user:s3cret@host")
    assert "s3cret" not in str(caught.value)
