"""Fixtures that several files of this folder use."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.local.valkey import LocalValkey
from tests.acceptance.deployment import Deployment
from tests.faults.recording_server import Recorder
from tests.waiting import wait_until

HERE = Path(__file__).parent


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def without_settings(monkeypatch):
    """A monkeypatch of an environment in which no setting of the bridge is set."""
    for name in os.environ:
        if name.startswith("BRIDGE_"):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture(scope="module")
def idle_deployment(tmp_path_factory, local_stepfunctions) -> Iterator[Deployment]:
    """A deployment without processes, for commands that are refused."""
    deployment = Deployment(
        tmp_path_factory.mktemp("commands"),
        valkey=LocalValkey().start(),
        stepfunctions_url=local_stepfunctions.url,
        JOBS_ONLY="echo",
    )
    yield deployment
    deployment.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory, local_stepfunctions) -> Iterator[Deployment]:
    """One deployment of the tasks in bad_jobs.py; its processes must survive a module's tests."""
    folder = tmp_path_factory.mktemp("bad")
    deployment = Deployment(
        folder,
        valkey=LocalValkey().start(),
        stepfunctions_url=local_stepfunctions.url,
        BRIDGE_TASKS="bad_jobs",
        PYTHONPATH=f"{HERE}{os.pathsep}{folder}",
    )
    try:
        deployment.create_activities()
        deployment.worker(concurrency=2)
        deployment.beat()
        deployment.poller()
        yield deployment
        wait_until(lambda: deployment.status()["totals"]["in_flight"] == 0, what="no claim is left")
        assert [process.name for process in deployment.processes if not process.alive] == []
    finally:
        deployment.stop()
