"""Each test has a server of its own, and no AWS settings of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.unit.stepfunctions.server import KEYS, REGION, Server


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path) -> None:
    """No AWS setting, no proxy, no files, no instance to ask."""
    for name in list(os.environ):
        if name.upper().startswith("AWS_") or name.upper().endswith(("_PROXY", "_CA_BUNDLE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    """A Step Functions that the environment leads to."""
    server = Server()
    access_key, secret_key = next(iter(KEYS.items()))
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_key)
    yield server
    server.close()
    assert server.bad_signatures == [] or server.expect_bad_signatures
