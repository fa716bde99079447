"""Alarms: work that waits, fails or is lost, and outcomes that nobody takes."""

from __future__ import annotations

from bridge.infra import metrics
from bridge.infra.cfn import Json, choose, parameter, ref, tags, template
from bridge.infra.fleet import ActivityRef, Fleet


def alarms(fleet: Fleet) -> Json:
    """Template: four alarms for each activity, two for the fleet."""
    resources: Json = {}
    for activity in fleet.activities:
        resources |= _of_activity(fleet, activity)
    return template(
        f"Alarms of {fleet.name}. Made by: celery -A {fleet.app} infra alarms",
        parameters={
            "TopicArn": parameter(
                "SNS topic that is told of alarms and of their end; empty: nobody",
                "",
                AllowedPattern="^(arn:[a-z-]+:sns:.+)?$",
            ),
            "ScheduleTimeMs": parameter(
                "p99 from scheduled to claimed, in ms, above which work waits too long", 60_000
            ),
            "Failures": parameter("Failed activities in 5 minutes", 1, MinValue=1),
            "OutboxAge": parameter("Seconds that an outcome may be on its way", 60, MinValue=1),
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
    wanted: dict[str, tuple[str, str, Json]] = {
        "Waits": (
            metrics.SCHEDULE_TIME,
            "work waits in Step Functions: no free slot, or no poller; ask status --why",
            where
            | {
                "ExtendedStatistic": "p99",
                "Threshold": ref("ScheduleTimeMs"),
                "Period": 60,
                "EvaluationPeriods": 5,
                "DatapointsToAlarm": 3,
            },
        ),
        "TimedOut": (metrics.TIMED_OUT, "TimeoutSeconds of a state ran out", count),
        "Failed": (metrics.FAILED, "failed", count | {"Threshold": ref("Failures")}),
        "HeartbeatTimedOut": (
            metrics.HEARTBEAT_TIMED_OUT,
            "its heartbeats stopped: beat and pollers?",
            count,
        ),
    }
    return {
        f"{activity.logical_id}{name}": _alarm(
            fleet, f"{_label(fleet, activity)}-{name}", f"{activity.name}: {text}", metric, how
        )
        for name, (metric, text, how) in wanted.items()
    }


def _label(fleet: Fleet, activity: ActivityRef) -> str:
    """The activity's name; one of another place has that in it, since names are per region."""
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
            "A worker died with jobs",
            metrics.LOST_WORKERS,
            where | {"EvaluationPeriods": 1, "Threshold": 1, "TreatMissingData": "notBreaching"},
        ),
        "FleetOutboxAge": _alarm(
            fleet,
            "OutboxAgeSeconds",
            "Step Functions does not take outcomes: is beat running?",
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
    tell = choose("WithTopic", [ref("TopicArn")])
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": f"{fleet.name}-{label}",
            "AlarmDescription": text,
            "MetricName": metric,
            **how,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "AlarmActions": tell,
            "OKActions": tell,
            "Tags": tags(fleet.all_tags),
        },
    }
