"""CloudWatch alarms: tasks that wait, fail or are lost, and outcomes that are not reported."""

from __future__ import annotations

from bridge.infra import metrics
from bridge.infra.cfn import Json, choose, parameter, ref, tags, template
from bridge.infra.fleet import ActivityRef, Fleet


def alarms(fleet: Fleet) -> Json:
    """The template with four alarms for each activity, and two for the fleet."""
    resources: Json = {}
    for activity in fleet.activities:
        resources |= _of_activity(fleet, activity)
    return template(
        f"Alarms of {fleet.name}. Made by: celery -A {fleet.app} infra alarms",
        parameters={
            "TopicArn": parameter(
                "SNS topic for alarms and their end; empty: no notification",
                "",
                AllowedPattern="^(arn:[a-z-]+:sns:.+)?$",
            ),
            "ScheduleTimeMs": parameter(
                "Alarm when the p99 of the time from scheduled to claimed is above this, in ms",
                60_000,
            ),
            "Failures": parameter(
                "Alarm at this number of failed activity tasks in 5 minutes", 1, MinValue=1
            ),
            "OutboxAge": parameter(
                "Alarm when an outcome is not reported for this many seconds", 60, MinValue=1
            ),
        },
        conditions={"WithTopic": {"Fn::Not": [{"Fn::Equals": [ref("TopicArn"), ""]}]}},
        resources=resources | _of_fleet(fleet),
    )


def _of_activity(fleet: Fleet, activity: ActivityRef) -> Json:
    where = {
        "Namespace": metrics.STATES,
        "Dimensions": metrics.of_activity(activity),
        "Period": 300,
        "EvaluationPeriods": 1,
        "TreatMissingData": "notBreaching",
    }
    count = where | {"Statistic": "Sum", "Unit": "Count", "Threshold": 1}
    alarms: dict[str, tuple[str, str, Json]] = {
        "Waits": (
            metrics.SCHEDULE_TIME,
            "tasks wait in Step Functions: no free slot or no poller. See status --why",
            where
            | {
                "ExtendedStatistic": "p99",
                "Threshold": ref("ScheduleTimeMs"),
                "Period": 60,
                "EvaluationPeriods": 5,
                "DatapointsToAlarm": 3,
            },
        ),
        "TimedOut": (metrics.TIMED_OUT, "TimeoutSeconds of a state have passed", count),
        "Failed": (metrics.FAILED, "tasks have failed", count | {"Threshold": ref("Failures")}),
        "HeartbeatTimedOut": (
            metrics.HEARTBEAT_TIMED_OUT,
            "heartbeats have stopped. Do beat and pollers run?",
            count,
        ),
    }
    return {
        f"{activity.logical_id}{name}": _alarm(
            fleet, f"{_label(fleet, activity)}-{name}", f"{activity.name}: {text}", metric, how
        )
        for name, (metric, text, how) in alarms.items()
    }


def _label(fleet: Fleet, activity: ActivityRef) -> str:
    """The name of the activity; with account and region when it was given as an ARN."""
    if not activity.exists:
        return activity.name
    return f"{activity.name}-{activity.account}-{activity.region}"


def _of_fleet(fleet: Fleet) -> Json:
    where = {"Namespace": metrics.BRIDGE, "Statistic": "Maximum", "Period": 60}
    where |= metrics.of_fleet(fleet)
    return {
        "FleetLostWorkers": _alarm(
            fleet,
            "LostWorkers",
            "A worker has died while it ran jobs",
            metrics.LOST_WORKERS,
            where | {"EvaluationPeriods": 1, "Threshold": 1, "TreatMissingData": "notBreaching"},
        ),
        "FleetOutboxAge": _alarm(
            fleet,
            "OutboxAgeSeconds",
            "Step Functions does not take outcomes. Does beat run?",
            metrics.OUTBOX_AGE,
            where
            | {
                "EvaluationPeriods": 3,
                "Threshold": ref("OutboxAge"),
                "TreatMissingData": "missing",
            },
        ),
    }


def _alarm(fleet: Fleet, label: str, text: str, metric: str, how: Json) -> Json:
    notify = choose("WithTopic", [ref("TopicArn")])
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": f"{fleet.name}-{label}",
            "AlarmDescription": text,
            "MetricName": metric,
            **how,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "AlarmActions": notify,
            "OKActions": notify,
            "Tags": tags(fleet.all_tags),
        },
    }
