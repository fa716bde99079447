"""The limits of a deployment, and how much of each a load uses.

The limits are AWS's quotas, and the CPU of one Redis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bridge.capacity import quotas
from bridge.capacity.load import Load
from bridge.heartbeat_ratio import RATIO_IN_WORDS

ROUND_TRIP_S = 0.1
"""Duration of a poll or a report with the store's part: an assumption, rather high than low."""
CORE_LOAD = 0.7
"""Share of a core that is planned for a process or Redis; above it, waiting times grow fast."""
HOLD_S = 60.0
"""Step Functions answers a poll without a task after this time; then the poller polls again."""

_MORE_QUOTA = (
    "Ask AWS for more (Service Quotas, Step Functions), or move some of the activities to another "
    "account or region, which has quotas of its own."
)
_FEWER_EXECUTIONS = (
    "Put several tasks into one execution (a Map state), start some in another account or region, "
    "or ask AWS for more (Service Quotas)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit, and how much of it a load uses.

    Attributes:
        fixed: What the load uses at any rate.
        growing: What the load uses in proportion to the rate.
        most: The limit.
        unit: Unit of these figures.
        remedy: What to do when the limit is reached.
    """

    name: str
    fixed: float = 0.0
    growing: float = 0.0
    most: float
    unit: str = ""
    remedy: str

    @property
    def used(self) -> float:
        """What the load uses."""
        return self.fixed + self.growing

    @property
    def utilisation(self) -> float:
        """The share of the limit that the load uses."""
        return self.used / self.most

    @property
    def exceeded(self) -> bool:
        """Whether the load uses more than the limit."""
        return self.used > self.most

    @property
    def growth(self) -> float | None:
        """By which factor the rate can grow; None when the limit does not depend on the rate."""
        if not self.growing:
            return None
        return max(0.0, self.most - self.fixed) / self.growing


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a load causes.

    Attributes:
        in_flight: Average number of claims in flight.
        heartbeats: Heartbeats per second.
        store_cores: CPU of Redis, in cores.
    """

    in_flight: float
    heartbeats: float
    store_cores: float


def limits_of(load: Load, usage: Usage) -> list[Limit]:
    """Every limit, with what the load uses of it."""
    return [*_calls(load, usage), *_growing(load, usage), *_sizes(load)]


def _calls(load: Load, usage: Usage) -> list[Limit]:
    """Quotas of calls per second."""
    most = {name: bucket.rate for name, bucket in quotas.buckets(load.region).items()}
    most |= load.rates
    starts = load.rate / load.tasks_per_execution

    def limit(name: str, a_second: float, remedy: str, *, fixed: float = 0.0) -> Limit:
        return Limit(
            name=name, fixed=fixed, growing=a_second, most=most[name], unit="/s", remedy=remedy
        )

    return [
        # A poll that brings a task is one call. An activity without tasks has one open poll, of all
        # pollers together: a call a minute.
        limit("GetActivityTask", load.rate, _MORE_QUOTA, fixed=load.activities / HOLD_S),
        limit(
            "SendTaskHeartbeat",
            usage.heartbeats,
            _longer_heartbeats(load, usage, most["SendTaskHeartbeat"]),
        ),
        limit("SendTaskSuccess", load.rate * (1 - load.failing), _MORE_QUOTA),
        limit("SendTaskFailure", load.rate * load.failing, _MORE_QUOTA),
        limit("StartExecution", starts, _FEWER_EXECUTIONS),
        # One transition a task, and one for the end of its execution. Other states of the state
        # machine are not counted here.
        limit("StateTransition", load.rate + starts, _FEWER_EXECUTIONS),
    ]


def _longer_heartbeats(load: Load, usage: Usage, most: float) -> str:
    enough_s = math.ceil(usage.in_flight / most)
    return (
        "Send heartbeats less often "
        f"(heartbeat={max(enough_s, math.ceil(load.heartbeat_s * 2))} and HeartbeatSeconds of "
        f"{RATIO_IN_WORDS} times that), or ask AWS for more (Service Quotas)."
    )


def _growing(load: Load, usage: Usage) -> list[Limit]:
    """Other limits whose use grows with the rate."""
    return [
        Limit(
            name="open polls of an activity",
            growing=load.rate_per_activity * ROUND_TRIP_S,
            most=quotas.POLLS_PER_ACTIVITY,
            remedy="Spread the tasks over several activities.",
        ),
        Limit(
            name="open executions",
            growing=usage.in_flight,
            most=quotas.OPEN_EXECUTIONS,
            remedy="Run several tasks at once in an execution (a Map state), or ask AWS for more.",
        ),
        Limit(
            name="CPU of one Redis",
            growing=usage.store_cores,
            most=CORE_LOAD,
            unit=" cores",
            remedy="Give some of the activities a store of their own (BRIDGE_STORE_URL): "
            "docs/capacity.md, Past one machine.",
        ),
    ]


def _sizes(load: Load) -> list[Limit]:
    """Limits that do not depend on the rate."""
    return [
        Limit(
            name="activities",
            fixed=load.activities,
            most=quotas.ACTIVITIES,
            remedy="Use fewer activities, or ask AWS for more.",
        ),
        Limit(
            name="bytes of an input",
            fixed=load.input_bytes,
            most=quotas.INPUT_BYTES,
            remedy="Put it into S3 and pass where it is.",
        ),
        Limit(
            name="bytes of an output",
            fixed=load.output_bytes,
            most=quotas.OUTPUT_BYTES,
            remedy="Put it into S3 and return where it is.",
        ),
    ]
