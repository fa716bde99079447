"""AWS's quotas for activities: those of an account in a region, and fixed ones.

These are the documented defaults for standard workflows. AWS raises most of them on request, and
starts new accounts with less of some. The Service Quotas console shows those of an account.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html, sections "state
throttling", "API action throttling", "accounts", "task executions"; as of November 2026. The 1,000
pollers of an activity: botocore stepfunctions 2016-11-23, ActivityWorkerLimitExceeded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LARGE_REGIONS = frozenset({"us-east-1", "us-west-2", "eu-west-1"})
"""Regions with higher quotas than the other regions."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket of one account in one region.

    Attributes:
        size: Calls that are allowed at once when the bucket is full.
        rate: Calls per second that are allowed in the long run.
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
"""Maximum of an activity task's input, as UTF-8: GetActivityTask, since November 2025."""
OUTPUT_BYTES = 262_144
"""Maximum of an output, as UTF-8: SendTaskSuccess."""


def buckets(region: str) -> Mapping[str, Bucket]:
    """The token buckets of a region, by operation."""
    return _LARGE if region in LARGE_REGIONS else _OTHER
