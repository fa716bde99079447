"""Fixtures of deployments of real processes."""

from __future__ import annotations

import pytest

from bridge.local.valkey import LocalValkey
from tests.acceptance.deployment import Deployment


@pytest.fixture
def deploy(tmp_path, local_stepfunctions):
    """Make a deployment; its processes are killed when the test ends."""
    made: list[Deployment] = []

    def make(
        *, stepfunctions_url: str = "", valkey: LocalValkey | None = None, **env: str
    ) -> Deployment:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        deployment = Deployment(
            folder,
            valkey=valkey or LocalValkey().start(),
            stepfunctions_url=stepfunctions_url or local_stepfunctions.url,
            **env,
        )
        made.append(deployment)
        return deployment

    yield make
    for deployment in made:
        deployment.stop()


@pytest.fixture(scope="module")
def everything(tmp_path_factory, local_stepfunctions):
    """One poller, one prefork worker and one beat, shared by the tests of a module."""
    deployment = Deployment(
        tmp_path_factory.mktemp("deployment"),
        valkey=LocalValkey().start(),
        stepfunctions_url=local_stepfunctions.url,
    )
    try:
        deployment.create_activities()
        deployment.worker()
        deployment.beat()
        deployment.poller()
        yield deployment
    finally:
        deployment.stop()
