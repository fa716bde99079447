"""A steady stream of executions of several kinds, and how each of them ended."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.acceptance.deployment import Deployment

HEARTBEAT_SECONDS = 10
"""HeartbeatSeconds of every Task state."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """A kind of execution: its job, its input, the status in which it must end.

    Attributes:
        retries_all: Whether its state retries every error. Otherwise it retries what a fault can
            cause: ``Bridge.WorkerLost`` and ``States.Timeout``.
    """

    job: str
    event: dict[str, Any]
    status: str = "SUCCEEDED"
    retries_all: bool = True


KINDS = [
    Kind(job="echo", event={}),
    Kind(job="sleep", event={"seconds": 1.0}),
    Kind(job="sleep", event={"seconds": 4.0}),
    Kind(job="safe", event={"seconds": 1.0}),
    Kind(job="safe", event={"seconds": 3.0}),
    Kind(job="retry", event={"failures": 2, "countdown": 1}),
    Kind(job="endings", event={"how": "activity-error"}, status="FAILED", retries_all=False),
]


@dataclass(kw_only=True)
class Execution:
    """One execution; times are Unix time, seconds.

    Attributes:
        ended: 0 while it runs.
        status: Empty while it runs.
    """

    arn: str
    kind: Kind
    started: float
    ended: float = 0.0
    status: str = ""

    @property
    def lost(self) -> bool:
        """Whether it did not end as it must."""
        return self.status != self.kind.status

    @property
    def job_s(self) -> float:
        """How long its job takes without a fault."""
        return float(self.kind.event.get("seconds", 0))


class ExecutionStream:
    """Starts executions of random kinds, and watches until they end."""

    def __init__(self, deployment: Deployment, draw: random.Random) -> None:
        self.deployment = deployment
        self.executions: list[Execution] = []
        self._draw = draw
        self._machines = {kind: _machine(deployment, kind) for kind in KINDS}

    def start(self) -> None:
        """Start one execution of a random kind."""
        kind = self._draw.choice(KINDS)
        number = len(self.executions)
        arn = self.deployment.execute(self._machines[kind], id=str(number), **kind.event)
        self.executions.append(Execution(arn=arn, kind=kind, started=time.time()))

    def running(self) -> list[Execution]:
        return [execution for execution in self.executions if not execution.status]

    @property
    def ended_count(self) -> int:
        return sum(bool(execution.status) for execution in self.executions)

    def note_ends(self) -> None:
        """Ask Step Functions which of the running executions have ended."""
        running = self.running()
        with ThreadPoolExecutor(4) as pool:
            describe = self.deployment.sfn.describe_execution
            found = pool.map(lambda e: describe(executionArn=e.arn), running)
            for execution, description in zip(running, found, strict=True):
                if description["status"] != "RUNNING":
                    execution.status = description["status"]
                    execution.ended = description["stopDate"].timestamp()


def _machine(deployment: Deployment, kind: Kind) -> str:
    errors = ["States.ALL"] if kind.retries_all else ["Bridge.WorkerLost", "States.Timeout"]
    return deployment.one_state(
        kind.job,
        HeartbeatSeconds=HEARTBEAT_SECONDS,
        TimeoutSeconds=110,
        Retry=[{"ErrorEquals": errors, "IntervalSeconds": 1, "MaxAttempts": 5, "BackoffRate": 1.0}],
    )
