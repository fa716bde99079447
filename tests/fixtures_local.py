"""Fixtures of the local parts: a real Valkey, and Step Functions with a real interpreter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace

import boto3
import pytest
from botocore.config import Config

from bridge.local.stepfunctions import LocalStepFunctions
from bridge.local.valkey import LocalValkey

REGION = "us-east-1"


@pytest.fixture(scope="session")
def valkey() -> Iterator[LocalValkey]:
    """A Valkey that all tests of a session share; each test has its own key prefix."""
    with LocalValkey() as server:
        yield server


@pytest.fixture(scope="session")
def local_stepfunctions():
    """The local Step Functions, or the endpoint that AWS_ENDPOINT_URL_SFN names."""
    external = os.environ.get("AWS_ENDPOINT_URL_SFN")
    if external:
        yield SimpleNamespace(url=external, external=True)
        return
    # AWS holds polls for 60 s; with 20 s the tests of empty polls are shorter.
    with LocalStepFunctions(hold_s=20) as server:
        yield SimpleNamespace(url=server.url, external=False)


def client_of(url: str, *, external: bool = False):
    """A boto3 client that waits for each poll to return, and does not repeat it."""
    keys = (
        {}
        if external
        else {
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
            "region_name": REGION,
        }
    )
    config = Config(read_timeout=70, max_pool_connections=50, retries={"total_max_attempts": 1})
    return boto3.client("stepfunctions", endpoint_url=url, config=config, **keys)


@pytest.fixture(scope="session")
def sfn(local_stepfunctions):
    """A client of Step Functions."""
    return client_of(local_stepfunctions.url, external=local_stepfunctions.external)
