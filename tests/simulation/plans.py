"""What an execution's task does when it runs, and how the execution ends if nothing goes wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass

from bridge.errors import ErrorName
from tests.simulation.settings import Kind

SUCCEEDED = "succeeded"
STOPPED, STOPPED_WHERE_IT_LOOKS = 0.05, 0.25
"""How many executions are stopped: more of those whose code asks whether it is cancelled."""
HEARTBEAT_TIMEOUT = "States.HeartbeatTimeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One execution.

    Attributes:
        number: Names the execution.
        duration_s: How long each run of the user's code takes.
        ending: How the last run ends: ``"return"``, or what it raises.
        retries: How often the task raises ``Retry`` before.
        countdown_s: The delay of each retry.
        looks: Whether the code asks ``bridge.current().cancelled`` again and again.
        stopped_after_s: When the execution is stopped, from its begin; None: it is not.
        heartbeat_s: HeartbeatSeconds of its state.
        timeout_s: TimeoutSeconds of its state.
        expected: SUCCEEDED, or the error names that the execution may end with.
    """

    number: int
    kind: Kind
    duration_s: float
    ending: str
    retries: int
    countdown_s: float
    looks: bool
    stopped_after_s: float | None
    heartbeat_s: float
    timeout_s: float
    expected: tuple[str, ...]


ENDINGS: dict[str, tuple[int, tuple[str, ...]]] = {
    "return": (70, (SUCCEEDED,)),
    "ValueError": (8, ("ValueError",)),
    "ActivityError": (4, ("Shop.Declined",)),
    "Reject": (3, (ErrorName.REJECTED,)),
    "Ignore": (3, (ErrorName.IGNORED,)),
    "SystemExit": (2, ("SystemExit",)),
    "no JSON": (3, (ErrorName.OUTPUT_NOT_JSON,)),
    "refused output": (2, (ErrorName.OUTPUT_REFUSED,)),
    "silence": (3, (HEARTBEAT_TIMEOUT, ErrorName.HEARTBEAT_LOST)),
}
"""Ending → its weight, and what the execution may end with. A job with manual heartbeats may fall
silent for ever."""


def draw(rng: random.Random, number: int, kind: Kind, interval_s: float) -> Plan:
    """A plan for one execution of an activity of this kind."""
    weights = [weight for weight, _ in ENDINGS.values()]
    (ending,) = rng.choices(list(ENDINGS), weights)
    if ending == "silence" and not kind.manual:
        ending = "return"
    shortest, longest = kind.duration_s
    duration_s = round(shortest * (longest / shortest) ** rng.random(), 3)
    retries = rng.choice((0, 0, 0, 0, 0, 0, 0, 1, 2))
    countdown_s = rng.choice((0.0, 2.0, 30.0))
    looks = rng.random() < 0.5 and ending != "silence"
    stopped = rng.random() < (STOPPED_WHERE_IT_LOOKS if looks else STOPPED)
    return Plan(
        number=number,
        kind=kind,
        duration_s=duration_s,
        ending=ending,
        retries=retries,
        countdown_s=countdown_s,
        looks=looks,
        stopped_after_s=rng.uniform(0.0, 2 * duration_s + 10.0) if stopped else None,
        heartbeat_s=3 * interval_s,
        timeout_s=3600.0 + (retries + 1) * (duration_s + countdown_s),
        expected=ENDINGS[ending][1],
    )
