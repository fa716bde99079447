"""The metrics that the bridge publishes to CloudWatch, for the fleet once a minute.

``emf.py`` and ``cloudwatch.py`` of ``bridge/metrics`` publish them; ``bridge/infra`` makes alarms,
a dashboard and autoscaling from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NAMESPACE = "StepFunctions/Activities"
INTERVAL_S = 60.0
"""How often the fleet's metrics are published."""

ACTIVITY_NAME = "ActivityName"
WORKER_NAME = "WorkerName"
ERROR_NAME = "ErrorName"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # hashed for each job: by identity
class CloudWatchMetric:
    """One metric.

    Attributes:
        dimensions: Names of its dimensions; CloudWatch bills each combination of their values.
        published: For what, or how often, a value is published.
    """

    name: str
    unit: Literal["Count", "None", "Seconds"]
    dimensions: tuple[str, ...] = ()
    published: str


PROCESSING_TIME = CloudWatchMetric(
    name="TaskProcessingTime",
    unit="Seconds",
    dimensions=(ACTIVITY_NAME, WORKER_NAME),
    published="each job: its last run",
)
PROCESSED = CloudWatchMetric(
    name="TasksProcessed",
    unit="Count",
    dimensions=(ACTIVITY_NAME, WORKER_NAME),
    published="each job",
)
TASK_ERRORS = CloudWatchMetric(
    name="TaskErrors",
    unit="Count",
    dimensions=(ACTIVITY_NAME, ERROR_NAME),
    published="each failure",
)
QUEUE_DEPTH = CloudWatchMetric(
    name="QueueDepth",
    unit="Count",
    dimensions=(ACTIVITY_NAME,),
    published="each minute: claims that no worker runs yet",
)
IN_COUNTDOWN = CloudWatchMetric(
    name="ClaimsInCountdown",
    unit="Count",
    dimensions=(ACTIVITY_NAME,),
    published="each minute with any: claims of `QueueDepth` that wait for the time of a retry",
)
HELD_BACK = CloudWatchMetric(
    name="ClaimsHeldBack",
    unit="Count",
    dimensions=(ACTIVITY_NAME,),
    published="each minute with any: claims of `QueueDepth` that workers hold back for a "
    "`rate_limit`",
)
BACKLOG_PER_SLOT = CloudWatchMetric(
    name="BacklogPerSlot",
    unit="None",
    published="each minute: occupied slots and claims that wait for one, divided by slots; "
    "[1.25 at most](#scaling-the-workers)",
)
OCCUPIED_SLOTS = CloudWatchMetric(
    name="OccupiedSlots",
    unit="Count",
    published="each minute: slots of the live workers that anything occupies",
)
FREE_SLOTS = CloudWatchMetric(
    name="FreeSlots",
    unit="Count",
    published="each minute: slots of the live workers that nothing occupies",
)
FRESH_POLLS = CloudWatchMetric(
    name="FreshPolls",
    unit="Count",
    published="each minute: open polls that may still bring a waiting task",
)
IDLE_POLLS = CloudWatchMetric(
    name="IdlePolls",
    unit="Count",
    published="each minute: open polls that found no task",
)
LIVE_WORKERS = CloudWatchMetric(
    name="LiveWorkers",
    unit="Count",
    published="each minute: workers whose lease runs",
)
LOST_WORKERS = CloudWatchMetric(
    name="LostWorkers",
    unit="Count",
    published="each minute: workers whose lease ended while they ran claims",
)
OUTBOX_AGE = CloudWatchMetric(
    name="OutboxAgeSeconds",
    unit="Seconds",
    published="each minute: age of the oldest outcome that Step Functions has not taken",
)

ALL = tuple(each for each in list(globals().values()) if isinstance(each, CloudWatchMetric))
"""Every metric above, in this order."""
