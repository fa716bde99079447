"""The CloudWatch dashboard of a fleet: its tasks, its errors, its workers and its queues."""

from __future__ import annotations

import json
from typing import Any

from bridge.infra import metrics
from bridge.infra.cfn import Json, sub, template
from bridge.infra.fleet import ActivityRef, Fleet, InfraError

# A widget of CloudWatch can have 500 metrics; the completion rate reads four per activity.
MAX_ACTIVITIES = 100


def dashboard(fleet: Fleet) -> Json:
    """The template with one dashboard, named like the fleet.

    Raises:
        InfraError: There are more activities than a widget can show.
    """
    if len(fleet.activities) > MAX_ACTIVITIES:
        raise InfraError(
            f"A dashboard shows {MAX_ACTIVITIES} activities at most, not {len(fleet.activities)}. "
            "Make several, each with its own --name and some of the activities (--activity)."
        )
    text = json.dumps(body(fleet), separators=(",", ":"), ensure_ascii=False)
    if unknown := "${AWS::" in text:
        text = text.replace(
            "${LABEL}", "${!LABEL}"
        )  # a variable of CloudWatch, not of CloudFormation
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
    """The body of the dashboard; an unknown region or account is written as ``${AWS::…}``."""
    widgets = [*_tasks(fleet), *_processes(fleet)]
    for number, widget in enumerate(widgets):
        widget |= {"x": 12 * (number % 2), "y": 6 * (number // 2), "width": 12, "height": 6}
    return {"widgets": widgets}


def _tasks(fleet: Fleet) -> list[Json]:
    """Whether tasks are done, how fast, and what fails."""
    percent = {"left": {"min": 0, "max": 100}}
    times = [_search(metrics.PROCESSING_TIME, stat) for stat in ("p50", "p99")]
    errors = [
        *_per_activity(fleet, metrics.FAILED, "Sum", "failed"),
        *_per_activity(fleet, metrics.TIMED_OUT, "Sum", "timed out"),
        *_per_activity(fleet, metrics.HEARTBEAT_TIMED_OUT, "Sum", "heartbeat timed out"),
        _search(metrics.TASK_ERRORS, "Sum"),
    ]
    return [
        _widget(fleet, "Completion rate (%)", _completion(fleet), yAxis=percent),
        _widget(fleet, "Processing time", times),
        _widget(fleet, "Errors by type", errors, stacked=True),
    ]


def _processes(fleet: Fleet) -> list[Json]:
    """Which workers live, and what waits for them."""
    workers = [
        _fleet(fleet, metrics.LIVE_WORKERS, "Minimum"),
        _fleet(fleet, metrics.LOST_WORKERS, "Maximum"),
        _fleet(fleet, metrics.OUTBOX_AGE, "Maximum", yAxis="right"),
    ]
    queues = [
        _search(metrics.QUEUE_DEPTH, "Maximum"),
        _fleet(fleet, metrics.BACKLOG_PER_SLOT, "Average", yAxis="right"),
    ]
    waits = _per_activity(fleet, metrics.SCHEDULE_TIME, "p99", "")
    return [
        _widget(fleet, "Worker health", workers),
        _widget(fleet, "Queue depth", queues),
        _widget(fleet, "ActivityScheduleTime (p99): work waits in Step Functions", waits),
    ]


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
    """The share of successes among the ended tasks, for each activity."""
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
    """Every series of a metric, for all values of its dimensions."""
    found = f"SEARCH('Namespace=\"{metrics.BRIDGE}\" MetricName=\"{metric}\"', '{stat}', 60)"
    return [{"expression": found, "label": f"{stat} ${{LABEL}}"}]
