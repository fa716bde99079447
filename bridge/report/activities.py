"""Activities as Step Functions knows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bridge.report.tables import console, table
from bridge.stepfunctions import ActivityDescription


def show_activities(arns: Mapping[str, str]) -> None:
    """Print activities and their ARNs."""
    rows = table("activity", "ARN")
    for name, arn in arns.items():
        rows.add_row(name, arn)
    console().print(rows)


def activity_as_json(activity: ActivityDescription) -> dict[str, Any]:
    """What ``activities describe --json`` says of one."""
    key = activity.encryption
    return {
        "name": activity.name,
        "arn": activity.arn,
        "created": activity.created.isoformat(),
        "encryption": None if key is None else key.model_dump(),
    }


def show_descriptions(activities: Iterable[ActivityDescription]) -> None:
    """Print what Step Functions says of activities."""
    rows = table("activity", "ARN", "created", "encryption")
    for each in activities:
        key = each.encryption
        created = f"{each.created:%Y-%m-%d %H:%M}"
        rows.add_row(each.name, each.arn, created, key.kms_key_id or key.type if key else "-")
    console().print(rows)
