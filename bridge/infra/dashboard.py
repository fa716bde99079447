"""The dashboard: is work done, how fast, what fails, who works, what waits."""

from __future__ import annotations

import json
from typing import Any

from bridge.infra import metrics
from bridge.infra.cfn import Json, sub, template
from bridge.infra.fleet import ActivityRef, Fleet, InfraError

# CloudWatch draws 500 metrics in one widget; the completion rate reads four of each activity.
MAX_ACTIVITIES = 100


def dashboard(fleet: Fleet) -> Json:
    """Template: one dashboard, called like the fleet.

    Raises:
        InfraError: More activities than a widget can draw.
    """
    if len(fleet.activities) > MAX_ACTIVITIES:
        raise InfraError(
            f"A dashboard shows {MAX_ACTIVITIES} activities at most, not {len(fleet.activities)}. "
            "Make several, each with some --activity and a --name."
        )
    text = json.dumps(body(fleet), separators=(",", ":"), ensure_ascii=False)
    if unknown := "${AWS::" in text:
        text = text.replace("${LABEL}", "${!LABEL}")  # CloudWatch's, not CloudFormation's
    return template(
        f"Dashboard of {fleet.name}. Made by: celery -A {fleet.app} infra dashboard",
        resources={
            "Dashboard": {
                "Type": "AWS::CloudWatch::Dashboard",
                "Properties": {
                    "DashboardName": fleet.name,
                    "DashboardBody": sub(text) if unknown else text,
                },
            }
        },
    )


def body(fleet: Fleet) -> Json:
    """The dashboard's body; region and account stand as ``${AWS::…}`` where they are not known."""
    widgets = [
        _widget(
            fleet, "Completion rate (%)", _completion(fleet), yAxis={"left": {"min": 0, "max": 100}}
        ),
        _widget(
            fleet,
            "Processing time",
            [
                _search(metrics.PROCESSING_TIME, "p50"),
                _search(metrics.PROCESSING_TIME, "p99"),
            ],
        ),
        _widget(
            fleet,
            "Errors by type",
            [
                *_per_activity(fleet, metrics.FAILED, "Sum", "failed"),
                *_per_activity(fleet, metrics.TIMED_OUT, "Sum", "timed out"),
                *_per_activity(fleet, metrics.HEARTBEAT_TIMED_OUT, "Sum", "heartbeat timed out"),
                _search(metrics.TASK_ERRORS, "Sum"),
            ],
            stacked=True,
        ),
        _widget(
            fleet,
            "Worker health",
            [
                _fleet(fleet, metrics.LIVE_WORKERS, "Minimum"),
                _fleet(fleet, metrics.LOST_WORKERS, "Maximum"),
                _fleet(fleet, metrics.OUTBOX_AGE, "Maximum", yAxis="right"),
            ],
        ),
        _widget(
            fleet,
            "Queue depth",
            [
                _search(metrics.QUEUE_DEPTH, "Maximum"),
                _fleet(fleet, metrics.BACKLOG_PER_SLOT, "Average", yAxis="right"),
            ],
        ),
        _widget(
            fleet,
            "ActivityScheduleTime (p99): work waits in Step Functions",
            _per_activity(fleet, metrics.SCHEDULE_TIME, "p99", ""),
        ),
    ]
    for number, widget in enumerate(widgets):
        widget |= {"x": 12 * (number % 2), "y": 6 * (number // 2), "width": 12, "height": 6}
    return {"widgets": widgets}


def _widget(fleet: Fleet, title: str, lines: list[list[Any]], **extra: Any) -> Json:
    properties = {
        "title": title,
        "view": "timeSeries",
        "region": fleet.region or "${AWS::Region}",
        "period": 60,
        "metrics": lines,
    }
    return {"type": "metric", "properties": properties | extra}


def _completion(fleet: Fleet) -> list[list[Any]]:
    """Of the activities that ended, how many succeeded; of each activity."""
    lines: list[list[Any]] = []
    for number, activity in enumerate(fleet.activities):
        ends = {
            f"s{number}": metrics.SUCCEEDED,
            f"f{number}": metrics.FAILED,
            f"t{number}": metrics.TIMED_OUT,
            f"h{number}": metrics.HEARTBEAT_TIMED_OUT,
        }
        filled = [f"FILL({each},0)" for each in ends]
        rate = f"100*{filled[0]}/({'+'.join(filled)})"
        lines.append([{"expression": rate, "id": f"rate{number}", "label": activity.name}])
        lines += [
            [*_states(activity, metric), {"id": each, "stat": "Sum", "visible": False}]
            for each, metric in ends.items()
        ]
    return lines


def _per_activity(fleet: Fleet, metric: str, stat: str, what: str) -> list[list[Any]]:
    return [
        [*_states(each, metric), {"stat": stat, "label": f"{each.name} {what}".strip()}]
        for each in fleet.activities
    ]


def _states(activity: ActivityRef, metric: str) -> list[Any]:
    return [metrics.STATES, metric, "ActivityArn", activity.arn_text]


def _fleet(fleet: Fleet, metric: str, stat: str, **extra: str) -> list[Any]:
    dimensions = [text for pair in fleet.dimensions.items() for text in pair]
    return [metrics.BRIDGE, metric, *dimensions, {"stat": stat, **extra}]


def _search(metric: str, stat: str) -> list[Any]:
    """Every series of a metric, whatever its dimensions: activities, types of errors."""
    found = f"SEARCH('Namespace=\"{metrics.BRIDGE}\" MetricName=\"{metric}\"', '{stat}', 60)"
    return [{"expression": found, "label": f"{stat} ${{LABEL}}"}]
