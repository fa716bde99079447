"""The load to plan for: how many tasks, how long they run, how large they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Load:
    """The tasks that are to be run, and the settings that count for their plan.

    Attributes:
        rate: Tasks per second of all activities together; each activity has the same share.
        duration_s: Average duration of a task.
        heartbeat_s: Interval between heartbeats.
        activities: Number of activities.
        region: AWS region, which decides the quotas.
        concurrency: Slots of a worker process.
        input_bytes: Size of the input of a task, as JSON.
        output_bytes: Size of the output of a task, as JSON.
        failing: Share of the tasks that fail, 0 to 1.
        tasks_per_execution: Average number of activity tasks in an execution.
        rates: Quotas that differ from AWS's defaults: operation → calls per second.
        look_ahead: ``BRIDGE_LOOK_AHEAD``.
        look_ahead_s: ``BRIDGE_LOOK_AHEAD_S``.
        look_ahead_most: ``BRIDGE_LOOK_AHEAD_MOST``.
        max_polls_per_activity: ``BRIDGE_MAX_POLLS_PER_ACTIVITY``.
    """

    rate: float
    duration_s: float
    heartbeat_s: float = 20.0
    activities: int = 1
    region: str = "us-east-1"
    concurrency: int = 4
    input_bytes: int = 1_024
    output_bytes: int = 1_024
    failing: float = 0.0
    tasks_per_execution: float = 1.0
    rates: Mapping[str, float] = field(default_factory=dict)
    look_ahead: float = 1.25
    look_ahead_s: float = 0.25
    look_ahead_most: float = 4.0
    max_polls_per_activity: int = 100

    @property
    def rate_per_activity(self) -> float:
        """Tasks per second of each activity."""
        return self.rate / self.activities

    @property
    def short(self) -> bool:
        """Whether the capacity ledger measures the waiting room of these tasks in time."""
        return self.duration_s <= self.look_ahead_s

    @property
    def waiting_per_slot(self) -> float:
        """How many claims and fresh polls the waiting room has place for, per slot."""
        by_count = self.look_ahead - 1
        if not self.short:
            return by_count
        most_by_time = max(0.0, self.look_ahead_most - by_count)
        return by_count + min(most_by_time, self.look_ahead_s / self.duration_s)
