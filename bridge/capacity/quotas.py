"""AWS's quotas that a fleet of activities meets: by account and region, and fixed ones.

Defaults of standard workflows, as AWS documents them; AWS raises most of them on request, and gives
new accounts less of some. An account's own are in the Service Quotas console.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html, sections "state
throttling", "API action throttling", "accounts", "task executions"; as of November 2026. The 1,000
pollers of an activity: botocore stepfunctions 2016-11-23, ActivityWorkerLimitExceeded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LARGE_REGIONS = frozenset({"us-east-1", "us-west-2", "eu-west-1"})
"""Regions whose quotas are higher than those of all others."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket of one account in one region.

    Attributes:
        size: Calls at once, after a rest.
        rate: Calls a second that it bears for ever.
    """

    size: int
    rate: float


_LARGE = {
    "GetActivityTask": Bucket(3_000, 500),
    "SendTaskHeartbeat": Bucket(3_000, 500),
    "SendTaskSuccess": Bucket(3_000, 500),
    "SendTaskFailure": Bucket(3_000, 500),
    "StartExecution": Bucket(1_300, 300),
    "StateTransition": Bucket(5_000, 5_000),
}
_OTHER = {
    "GetActivityTask": Bucket(1_500, 300),
    "SendTaskHeartbeat": Bucket(1_500, 300),
    "SendTaskSuccess": Bucket(1_500, 300),
    "SendTaskFailure": Bucket(1_500, 300),
    "StartExecution": Bucket(800, 150),
    "StateTransition": Bucket(800, 800),
}
OPERATIONS = tuple(_LARGE)

POLLS_PER_ACTIVITY = 1_000
OPEN_EXECUTIONS = 1_000_000
ACTIVITIES = 100_000
INPUT_BYTES = 1_048_576
"""Of an activity task, as UTF-8: GetActivityTask's ``input`` since November 2025."""
OUTPUT_BYTES = 262_144
"""Of SendTaskSuccess, as UTF-8."""


def buckets(region: str) -> Mapping[str, Bucket]:
    """The token buckets of a region, by operation."""
    return _LARGE if region in LARGE_REGIONS else _OTHER
