"""Names and dimensions of the metrics that alarms, dashboard and autoscaling use.

Step Functions publishes the metrics in the namespace ``AWS/States``, the bridge the others:
``bridge/metrics/catalogue/cloudwatch.py`` has their names, units and dimensions.
"""

from __future__ import annotations

from bridge.infra.cfn import Json
from bridge.infra.fleet import ActivityRef, Fleet
from bridge.metrics.catalogue import cloudwatch

STATES = "AWS/States"
SCHEDULE_TIME = "ActivityScheduleTime"  # ms from scheduled to claimed
RUN_TIME = "ActivityRunTime"  # ms from claimed to closed
SUCCEEDED = "ActivitiesSucceeded"
FAILED = "ActivitiesFailed"
TIMED_OUT = "ActivitiesTimedOut"
HEARTBEAT_TIMED_OUT = "ActivitiesHeartbeatTimedOut"

BRIDGE = cloudwatch.NAMESPACE
PROCESSING_TIME = cloudwatch.PROCESSING_TIME.name
TASK_ERRORS = cloudwatch.TASK_ERRORS.name
QUEUE_DEPTH = cloudwatch.QUEUE_DEPTH.name
LIVE_WORKERS = cloudwatch.LIVE_WORKERS.name
LOST_WORKERS = cloudwatch.LOST_WORKERS.name
OUTBOX_AGE = cloudwatch.OUTBOX_AGE.name
BACKLOG_PER_SLOT = cloudwatch.BACKLOG_PER_SLOT.name


def of_activity(activity: ActivityRef) -> list[Json]:
    """The ``Dimensions`` of a metric of Step Functions for one activity."""
    return [{"Name": "ActivityArn", "Value": activity.arn}]


def of_fleet(fleet: Fleet) -> Json:
    """The property ``Dimensions`` of a fleet-wide metric of the bridge; empty by default."""
    if not fleet.dimensions:
        return {}
    return {"Dimensions": [{"Name": k, "Value": v} for k, v in fleet.dimensions.items()]}
