"""The arithmetic: what a load needs, and how far it is from each limit. No I/O.

Little's law gives what is in flight at once: rate × time. Everything else follows from it, from how
the bridge polls and sends heartbeats, from the capacity ledger (docs/ledger.md), and from what each
step was measured to cost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.capacity import quotas
from bridge.capacity.costs import Costs
from bridge.heartbeat_ratio import RATIO_IN_WORDS

ROUND_TRIP_S = 0.1
"""A call to Step Functions, poll or report, with the store's part: assumed, on the high side."""
CORE_LOAD = 0.7
"""Of a core that a process, or Redis, is planned with; above it waiting grows faster than work."""
SLOT_LOAD = 0.8
"""Of the slots that are busy on average; the rest is for a rush."""
HOLD_S = 60.0
"""Step Functions answers a poll without a task after so long; then it is opened again."""
IDLE_AFTER_S = 0.5
"""A poll that is open for longer is idle and takes no room: bridge/loops/open_polls.py."""
REMEMBERED_S = 900.0
"""A closed claim of a finished job stays in Redis for so long: store/lua/close.lua."""
BASE64 = 4 / 3
"""A message's body in Redis, to the input that it carries."""
MB = 1e6


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be run.

    Attributes:
        rate: Tasks a second, over all activities, which share it evenly.
        duration_s: Of a task, on average.
        heartbeat_s: Between heartbeats of a token.
        region: Decides the quotas.
        concurrency: Slots of a worker process.
        failing: Share of the tasks that fail, 0 to 1.
        tasks_per_execution: Activity tasks that an execution has, on average.
        rates: Quotas that are other than AWS's defaults: operation → calls a second.
        look_ahead: ``BRIDGE_LOOK_AHEAD``.
        look_ahead_s: ``BRIDGE_LOOK_AHEAD_S``.
        look_ahead_most: ``BRIDGE_LOOK_AHEAD_MOST``.
        max_polls_per_activity: ``BRIDGE_MAX_POLLS_PER_ACTIVITY``.
    """

    rate: float
    duration_s: float
    heartbeat_s: float = 20.0
    activities: int = 1
    region: str = "us-east-1"
    concurrency: int = 4
    input_bytes: int = 1_024
    output_bytes: int = 1_024
    failing: float = 0.0
    tasks_per_execution: float = 1.0
    rates: Mapping[str, float] = field(default_factory=dict)
    look_ahead: float = 1.25
    look_ahead_s: float = 0.25
    look_ahead_most: float = 4.0
    max_polls_per_activity: int = 100

    @property
    def rate_per_activity(self) -> float:
        """Tasks a second of each activity."""
        return self.rate / self.activities

    @property
    def short(self) -> bool:
        """Whether the ledger measures the waiting room of such tasks in time."""
        return self.duration_s <= self.look_ahead_s

    @property
    def waiting_per_slot(self) -> float:
        """Claims and fresh polls that the waiting room has place for, a slot."""
        by_count = self.look_ahead - 1
        if not self.short:
            return by_count
        most_by_time = max(0.0, self.look_ahead_most - by_count)
        return by_count + min(most_by_time, self.look_ahead_s / self.duration_s)


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, and what the load takes of it.

    Attributes:
        fixed: What is used at any rate.
        growing: What is used in proportion to the rate.
        most: What there is.
        unit: Of all three.
        remedy: What to do when it gives out.
    """

    name: str
    fixed: float
    growing: float
    most: float
    unit: str
    remedy: str

    @property
    def used(self) -> float:
        """What the load takes."""
        return self.fixed + self.growing

    @property
    def utilisation(self) -> float:
        """What the load takes, to what there is."""
        return self.used / self.most

    @property
    def exceeded(self) -> bool:
        """Whether the load takes more than there is."""
        return self.used > self.most

    @property
    def growth(self) -> float | None:
        """At how many times the rate it gives out; None: the rate does not matter."""
        if not self.growing:
            return None
        return max(0.0, self.most - self.fixed) / self.growing


@dataclass(frozen=True, slots=True)
class Plan:
    """What a load needs.

    Attributes:
        in_flight: Claims in flight, on average.
        waiting_most: The waiting room: claims that may wait while every slot is taken.
        in_flight_most: While work is backed up: with every slot taken, a full waiting room, and the
            one claim of each activity that an idle poll may bring beyond it.
        heartbeats_most: Heartbeats a second then.
        open_polls: Of all pollers together, that fetch the tasks as fast as they come; at least one
            an activity.
        beats: Beat processes.
        worker_cores: CPU of the workers without the tasks' own work.
        store_bytes: Redis that is also the broker.
        store_cores: CPU of that Redis.
        limits: Nearest to its end first; those that the rate does not matter to come last.
    """

    load: Load
    in_flight: float
    waiting_most: int
    in_flight_most: int
    heartbeats_most: float
    slots: int
    workers: int
    worker_cores: float
    open_polls: int
    pollers: int
    poller_bytes: float
    beats: int
    beat_bytes: float
    store_bytes: float
    store_cores: float
    limits: tuple[Limit, ...]

    @property
    def exceeded(self) -> tuple[Limit, ...]:
        """The limits that this load is beyond."""
        return tuple(limit for limit in self.limits if limit.exceeded)

    @property
    def first(self) -> Limit:
        """What gives out first when the rate grows."""
        return self.limits[0]

    @property
    def growth(self) -> float:
        """At how many times the rate it does."""
        return self.first.growth or 0.0


def plan(load: Load, costs: Costs) -> Plan:
    """What the load needs, and what gives out first."""
    in_flight = load.rate * (load.duration_s + ROUND_TRIP_S)
    heartbeats = in_flight / load.heartbeat_s
    per_activity = load.rate_per_activity * ROUND_TRIP_S
    polls = load.activities * max(1, math.ceil(per_activity))
    pollers = max(
        _processes(load.rate * costs.poller_task_ms),
        math.ceil(per_activity / load.max_polls_per_activity),
    )
    slots = max(
        math.ceil(load.rate * load.duration_s / SLOT_LOAD),
        _slots_with_room(load, in_flight),
    )
    beats = _processes(heartbeats * costs.beat_heartbeat_ms)
    waiting = math.ceil(slots * load.waiting_per_slot)
    most = slots + waiting + load.activities
    store_ms = load.rate * costs.valkey_task_ms + heartbeats * costs.valkey_heartbeat_ms
    limits = _limits(load, in_flight, heartbeats, store_ms / 1000)
    return Plan(
        load=load,
        in_flight=in_flight,
        waiting_most=waiting,
        in_flight_most=most,
        heartbeats_most=most / load.heartbeat_s,
        slots=slots,
        workers=math.ceil(slots / load.concurrency),
        worker_cores=load.rate * costs.worker_task_ms / 1000,
        open_polls=polls,
        pollers=pollers,
        poller_bytes=costs.poller_rss_mb * MB + 1000 * costs.poll_rss_kb * polls / pollers,
        beats=beats,
        beat_bytes=costs.beat_rss_mb * MB,
        store_bytes=_store_bytes(load, costs, in_flight),
        store_cores=store_ms / 1000,
        limits=tuple(sorted(limits, key=_nearest)),
    )


def _slots_with_room(load: Load, in_flight: float) -> int:
    """Slots whose room lets the polls be opened that bring tasks at this rate.

    A poll takes room while it is fresh: for the round trip that brings a task, or for IDLE_AFTER_S
    where the activity's next task comes later than that.
    """
    fresh = load.activities * max(
        load.rate_per_activity * ROUND_TRIP_S, min(1.0, load.rate_per_activity * IDLE_AFTER_S)
    )
    return math.ceil((in_flight + fresh) / (1 + load.waiting_per_slot))


def _processes(cpu_ms_per_s: float) -> int:
    """How many that have a core each; one at least."""
    return max(1, math.ceil(cpu_ms_per_s / 1000 / CORE_LOAD))


def _nearest(limit: Limit) -> float:
    growth = limit.growth
    return math.inf if growth is None else growth


def _store_bytes(load: Load, costs: Costs, in_flight: float) -> float:
    claim = costs.claim_bytes + costs.token_bytes + load.input_bytes
    message = costs.message_bytes + BASE64 * load.input_bytes
    outcomes = load.rate * ROUND_TRIP_S * load.output_bytes
    closed = load.rate * REMEMBERED_S * costs.closed_claim_bytes
    return in_flight * (claim + message) + outcomes + closed


def _limits(load: Load, in_flight: float, heartbeats: float, store_cores: float) -> list[Limit]:
    most = {name: bucket.rate for name, bucket in quotas.buckets(load.region).items()}
    most |= load.rates
    ask = (
        "Ask AWS for more (Service Quotas, Step Functions), or give some of the activities to "
        "another account or region: quotas count there anew."
    )
    starts = load.rate / load.tasks_per_execution
    longer_s = math.ceil(in_flight / most["SendTaskHeartbeat"])
    beat = (
        "Send heartbeats less often "
        f"(heartbeat={max(longer_s, math.ceil(load.heartbeat_s * 2))} and HeartbeatSeconds of "
        f"{RATIO_IN_WORDS} times that), or ask AWS for more (Service Quotas)."
    )
    nest = (
        "Put several tasks into one execution (a Map state), start some in another account or "
        "region, or ask AWS for more (Service Quotas)."
    )

    def calls(name: str, a_second: float, remedy: str, fixed: float = 0.0) -> Limit:
        return Limit(name, fixed, a_second, most[name], "/s", remedy)

    return [
        # A poll that finds a task is one call. Where nothing comes one poll is open for each
        # activity, over all pollers: a call a minute.
        calls("GetActivityTask", load.rate, ask, load.activities / HOLD_S),
        calls("SendTaskHeartbeat", heartbeats, beat),
        calls("SendTaskSuccess", load.rate * (1 - load.failing), ask),
        calls("SendTaskFailure", load.rate * load.failing, ask),
        calls("StartExecution", starts, nest),
        # A task's state, and the end of its execution: what else the state machine does comes on
        # top.
        calls("StateTransition", load.rate + starts, nest),
        Limit(
            "open polls of an activity",
            0.0,
            load.rate / load.activities * ROUND_TRIP_S,
            quotas.POLLS_PER_ACTIVITY,
            "",
            "Spread the tasks over several activities.",
        ),
        Limit(
            "open executions",
            0.0,
            in_flight,
            quotas.OPEN_EXECUTIONS,
            "",
            "Let an execution run several tasks at once (a Map state), or ask AWS for more.",
        ),
        Limit(
            "CPU of one Redis",
            0.0,
            store_cores,
            CORE_LOAD,
            " cores",
            "Give some of the activities a store of their own (BRIDGE_STORE_URL): "
            "docs/capacity.md, Past one machine.",
        ),
        Limit(
            "activities",
            load.activities,
            0.0,
            quotas.ACTIVITIES,
            "",
            "Use fewer activities, or ask AWS for more.",
        ),
        Limit(
            "bytes of an input",
            load.input_bytes,
            0.0,
            quotas.INPUT_BYTES,
            "",
            "Put it into S3 and pass where it is.",
        ),
        Limit(
            "bytes of an output",
            load.output_bytes,
            0.0,
            quotas.OUTPUT_BYTES,
            "",
            "Put it into S3 and return where it is.",
        ),
    ]
