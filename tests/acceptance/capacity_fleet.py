"""A fleet that tests of capacity share: one worker, one poller, one beat process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bridge.local.stepfunctions import LocalStepFunctions
from bridge.local.valkey import LocalValkey
from tests.acceptance.capacity_deployment import CapacityDeployment
from tests.acceptance.deployment import Process

HOLD_S = 3.0
"""How long Step Functions holds a poll without a task; AWS holds it for a minute. It is longer than
it takes until every activity has an idle poll: half a second for as many as there is room."""


@dataclass(frozen=True, kw_only=True)
class FleetSize:
    """How large a fleet is.

    Attributes:
        slots: ``--concurrency`` of its worker.
        worker_options: More options of that worker.
        hold_s: How long Step Functions holds a poll without a task.
    """

    activities: int
    slots: int
    worker_options: tuple[str, ...] = ()
    hold_s: float = HOLD_S


@dataclass
class Fleet:
    """A deployment, and those of its processes that tests signal and replace."""

    deployment: CapacityDeployment
    worker: Process
    poller: Process


class SharedFleet:
    """A fleet that several tests use, one after the other; a context manager."""

    def __init__(self, folder: Path, size: FleetSize) -> None:
        self._folder, self._size = folder, size
        self._stepfunctions = LocalStepFunctions(hold_s=size.hold_s)
        self._deployment: CapacityDeployment | None = None
        self._fleet: Fleet | None = None
        self._made = 0

    def __enter__(self) -> SharedFleet:
        self._stepfunctions.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()
        self._stepfunctions.stop()

    def get(self) -> Fleet:
        """The fleet, which is started if there is none."""
        if self._fleet is None:
            folder = self._folder / str(self._made)
            folder.mkdir()
            self._made += 1
            self._deployment = deployment = CapacityDeployment(
                folder,
                valkey=LocalValkey().start(),
                stepfunctions_url=self._stepfunctions.url,
                activities=self._size.activities,
            )
            deployment.create_activities()
            deployment.beat()
            self._fleet = Fleet(deployment, self.start_worker(), deployment.poller())
        return self._fleet

    def start_worker(self) -> Process:
        """Start one more worker of the same kind."""
        assert self._deployment is not None
        return self._deployment.worker(*self._size.worker_options, concurrency=self._size.slots)

    def drop(self) -> None:
        """Kill the processes; ``get`` starts new ones."""
        if self._deployment is not None:
            self._deployment.stop()
        self._deployment = self._fleet = None
