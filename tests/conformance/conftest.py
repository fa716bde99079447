"""Fixtures of the conformance suite, some of which need the local server."""

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
    """An activity of the test's own, and ways to act on it."""
    scene = Scene(sfn, raw)
    yield scene
    scene.clean_up()


@pytest.fixture
def local_only(local_stepfunctions) -> str:
    """The local server's URL; skips the test on any other endpoint."""
    if local_stepfunctions.external:
        pytest.skip("needs the local server: its counts or limits, or what AWS does not promise")
    return local_stepfunctions.url


@pytest.fixture
def departure(local_stepfunctions, request) -> Callable[[str], None]:
    """Marks the test as one that the local server is known to fail, with the reason."""

    def mark(reason: str) -> None:
        if not local_stepfunctions.external:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    return mark


@pytest.fixture
def short_hold(local_stepfunctions) -> Iterator[Any]:
    """A client of a server that holds polls for one second; both servers share their state."""
    if local_stepfunctions.external:
        pytest.skip("a poll without a task takes 60 s at AWS")
    with LocalStepFunctions(hold_s=1) as server:
        yield client_of(server.url)


@pytest.fixture
def calls_of(local_only) -> Callable[[str], dict[str, int]]:
    """Returns what the local server has counted of an execution's calls."""

    def calls(execution: str) -> dict[str, int]:
        with urllib.request.urlopen(f"{local_only}/_local/calls", timeout=10) as answer:
            return json.load(answer).get(execution, {})

    return calls
