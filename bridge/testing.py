"""Fixtures of pytest for projects with activities: ``pytest_plugins = ["bridge.testing"]``.

``run_activity`` runs one task in this process, as a job. ``execute`` runs a whole state machine
with local Valkey and Step Functions, a poller and a worker, which are started once for all tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Task
from celery.states import IGNORED, REJECTED

from bridge.local.child_processes import CELERY, background, clean_environment
from bridge.local.run import client_of, environment
from bridge.local.stepfunctions import LocalStepFunctions
from bridge.local.valkey import LocalValkey
from bridge.model import Job, claim_id_of
from bridge.statemachine import Context
from bridge.worker.current import Current, as_current
from bridge.worker.outcome import output_of

HOLD_S = 2.0
"""How long a poll waits for a task; short, because the poller waits for its polls at its end."""
_KEPT = ("BRIDGE_ACTIVITIES", "BRIDGE_TASKS")
"""Variables of the environment that the processes keep."""


class _Jobs:
    """Answers the one job that runs, in place of the store."""

    def __init__(self, closed: str) -> None:
        self._closed = closed

    def cancel_reason(self, job: Job, *, run: str) -> str:
        return self._closed

    def keep_alive(self, job: Job, *, run: str) -> bool:
        return not self._closed


@pytest.fixture
def run_activity() -> Callable[..., Any]:
    """Runs a task as a job in this process: ``run_activity(task, event)`` returns its output.

    Input and output pass through JSON, as they do in Step Functions. Celery's retries run at once.
    An exception of the task is raised.

    Args:
        attempt: The value of ``bridge.current().attempt``.
        closed: Why the token is closed, such as ``"TaskTimedOut"``: the job is cancelled.
        context: The value of ``bridge.current().context``.
    """

    def run(
        task: Task,
        event: Any,
        *,
        attempt: int = 1,
        closed: str = "",
        context: Context | None = None,
    ) -> Any:
        job = Job(claim_id_of(uuid.uuid4().hex), attempt)
        bridge: Any = SimpleNamespace(jobs=_Jobs(closed))
        with as_current(Current(job, run="test", bridge=bridge, context=context)):
            done = task.apply(args=[json.loads(json.dumps(event))], throw=False)
        if done.state in (IGNORED, REJECTED):  # as with bridge.JobCancelled: Celery has no result
            raise done.result
        return json.loads(output_of(done.get()))

    return run


@pytest.fixture(scope="session")
def bridge_app() -> str:
    """The argument of ``celery -A``; override it to test an app of your own."""
    return "bridge"


@pytest.fixture(scope="session")
def local_environment() -> Iterator[dict[str, str]]:
    """Starts Valkey and Step Functions; returns the environment of processes that use only them."""
    with LocalValkey() as valkey, LocalStepFunctions(hold_s=HOLD_S) as server:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        yield clean_environment() | kept | environment(server.url, valkey.url)


@pytest.fixture(scope="session")
def stepfunctions(local_environment: Mapping[str, str]) -> Any:
    """A boto3 client of the local Step Functions."""
    return client_of(local_environment["AWS_ENDPOINT_URL_SFN"])


@pytest.fixture(scope="session")
def local_fleet(
    bridge_app: str, local_environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Creates the activities, starts a poller and a worker; returns the folder of their logs."""
    celery = [*CELERY[:-1], bridge_app]
    made = subprocess.run(
        [*celery, "activities", "create"],
        env=dict(local_environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.fail(made.stderr, pytrace=False)
    logs = tmp_path_factory.mktemp("fleet")
    with ExitStack() as stack:
        for command in (["poll"], ["worker", "--concurrency", "4", "--loglevel", "INFO"]):
            log = logs / f"{command[0]}.log"
            stack.enter_context(background([*celery, *command], env=local_environment, log=log))
        yield logs


@pytest.fixture
def execute(local_fleet: Path, stepfunctions: Any) -> Callable[..., dict[str, Any]]:
    """Runs a state machine: ``execute(definition, event)`` returns DescribeExecution's answer.

    Args:
        within_s: Seconds after which the test fails if the execution has not ended.
    """

    def run(definition: Mapping[str, Any], event: Any, *, within_s: float = 30.0) -> dict[str, Any]:
        machine = stepfunctions.create_state_machine(
            name=f"test-{uuid.uuid4().hex}",
            definition=json.dumps(definition),
            roleArn="arn:aws:iam::123456789012:role/local",
        )["stateMachineArn"]
        started = stepfunctions.start_execution(stateMachineArn=machine, input=json.dumps(event))
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            found: dict[str, Any] = stepfunctions.describe_execution(
                executionArn=started["executionArn"]
            )
            if found["status"] != "RUNNING":
                return found
            time.sleep(0.1)
        pytest.fail(
            f"the execution still runs after {within_s:g} s; the logs of poller and worker are in "
            f"{local_fleet}",
            pytrace=False,
        )

    return run
