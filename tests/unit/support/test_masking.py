"""Secrets show nowhere: neither in URLs, nor deep in settings, nor in errors."""

from __future__ import annotations

import json
import ssl

import pytest

from bridge.support.masking import mask_url, mask_urls, masked, scrub


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:pw@host:1/0", "redis://:***@host:1/0"),
        ("rediss://user:p%40w@host/0", "rediss://user:***@host/0"),
        ("redis://host/0", "redis://host/0"),
        ("sentinel://:pw@a:1;sentinel://:pw@b:1", "sentinel://:***@a:1;sentinel://:***@b:1"),
        ("sentinel://a/0?sentinel_password=pw&db=1", "sentinel://a/0?sentinel_password=***&db=1"),
        ("rediss://a/0?ssl_password=pw", "rediss://a/0?ssl_password=***"),
        ("no url at all: pw", "***"),
    ],
)
def test_passwords_of_urls_are_masked(url, shown):
    assert mask_url(url) == shown


def test_several_urls_are_masked():
    assert mask_urls(["redis://:pw@a", "redis://:pw@b"]) == "redis://:***@a, redis://:***@b"
    assert mask_urls(None) == ""


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "sentinel_password",
        "ssl_password",
        "PASSWD",
        "secret_access_key",
        "api_key",
        "access_key_id",
        "session_token",
        "sas_key",
        "credential_provider",
        "pass",
    ],
)
def test_secrets_are_masked_at_any_depth(name):
    value = {"sentinel_kwargs": {name: "s3cret"}, "predefined_queues": {"q": [{name: b"s3cret"}]}}
    shown = json.dumps(masked(value))
    assert "s3cret" not in shown
    assert shown.count("***") == 2


def test_everything_else_is_shown_as_json_can_hold_it():
    class Provider:
        def __repr__(self):
            return "Provider(s3cret)"

    value = {
        "master_name": "main",
        "visibility_timeout": 3600,
        "global_keyprefix": "shop:",
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "priority_steps": (0, 3),
        "socket_keepalive": True,
        1: Provider(),
        "url": "redis://:s3cret@h",
    }
    assert json.loads(json.dumps(masked(value))) == {
        "master_name": "main",
        "visibility_timeout": 3600,
        "global_keyprefix": "shop:",
        "ssl_cert_reqs": "CERT_REQUIRED",
        "priority_steps": [0, 3],
        "socket_keepalive": True,
        "1": "<Provider>",
        "url": "redis://:***@h",
    }


def test_errors_are_scrubbed_of_secrets_plain_and_quoted():
    said = scrub("no p@ss, no p%40ss", ["p@ss", ""])
    assert said == "no ***, no ***"
