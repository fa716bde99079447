"""Fixtures of the conformance suite: a scene for each test, and what only the local server can."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from bridge.local.stepfunctions import LocalStepFunctions
from tests.conformance.scene import Scene
from tests.fixtures_local import REGION, client_of


@pytest.fixture(scope="session")
def raw(local_stepfunctions) -> Any:
    """A client that leaves all validation to the server."""
    keys = (
        {}
        if local_stepfunctions.external
        else {
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
            "region_name": REGION,
        }
    )
    config = Config(read_timeout=70, retries={"total_max_attempts": 1}, parameter_validation=False)
    return boto3.client(
        "stepfunctions", endpoint_url=local_stepfunctions.url, config=config, **keys
    )


@pytest.fixture
def scene(sfn, raw) -> Iterator[Scene]:
    """An activity of the test's own, and what to do with it."""
    scene = Scene(sfn, raw)
    yield scene
    scene.tidy()


@pytest.fixture
def local_only(local_stepfunctions) -> str:
    """The local server's URL; skips on any other endpoint."""
    if local_stepfunctions.external:
        pytest.skip("needs the local server: its counts, its limits, or what AWS does not promise")
    return local_stepfunctions.url


@pytest.fixture
def departure(local_stepfunctions, request) -> Callable[[str], None]:
    """Mark the test as one that the local server is known to fail, and says why."""

    def mark(reason: str) -> None:
        if not local_stepfunctions.external:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    return mark


@pytest.fixture
def short_hold(local_stepfunctions) -> Iterator[Any]:
    """A client of a server that holds polls for one second; it shares the other's state."""
    if local_stepfunctions.external:
        pytest.skip("a poll without a task takes 60 s at AWS")
    with LocalStepFunctions(hold_s=1) as server:
        yield client_of(server.url)


@pytest.fixture
def calls_of(local_only) -> Callable[[str], dict[str, int]]:
    """What the local server has counted of an execution's calls."""

    def calls(execution: str) -> dict[str, int]:
        with urllib.request.urlopen(f"{local_only}/_local/calls", timeout=10) as answer:
            return json.load(answer).get(execution, {})

    return calls
