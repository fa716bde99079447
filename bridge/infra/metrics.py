"""The metrics that alarms, dashboard and autoscaling read: names, units, dimensions.

Step Functions publishes the first kind by itself. The second is published by the bridge, and the
names here must be the ones it uses.
"""

from __future__ import annotations

from bridge.infra.cfn import Json
from bridge.infra.fleet import ActivityRef, Fleet

STATES = "AWS/States"
SCHEDULE_TIME = "ActivityScheduleTime"  # ms from scheduled to claimed
RUN_TIME = "ActivityRunTime"  # ms from claimed to closed
SUCCEEDED = "ActivitiesSucceeded"
FAILED = "ActivitiesFailed"
TIMED_OUT = "ActivitiesTimedOut"
HEARTBEAT_TIMED_OUT = "ActivitiesHeartbeatTimedOut"

BRIDGE = "StepFunctions/Activities"
PROCESSING_TIME = "TaskProcessingTime"  # of one job, per activity
TASK_ERRORS = "TaskErrors"  # count, by type of error
QUEUE_DEPTH = "QueueDepth"  # claims that no worker runs yet
LIVE_WORKERS = "LiveWorkers"
LOST_WORKERS = "LostWorkers"  # leases that ended while claims were running
OUTBOX_AGE = "OutboxAgeSeconds"  # of the oldest outcome that Step Functions has not taken
# Occupied slots, and claims that wait for one, by slots; between 0 and 1.25: metrics/scaling.py.
BACKLOG_PER_SLOT = "BacklogPerSlot"


def of_activity(activity: ActivityRef) -> list[Json]:
    """``Dimensions`` of a metric of Step Functions on one activity."""
    return [{"Name": "ActivityArn", "Value": activity.arn}]


def of_fleet(fleet: Fleet) -> Json:
    """``Dimensions`` of a fleet-wide metric of the bridge, as properties; none by default."""
    if not fleet.dimensions:
        return {}
    return {"Dimensions": [{"Name": k, "Value": v} for k, v in fleet.dimensions.items()]}
