"""Calculate what a load needs, and which limit it reaches first. This module does no I/O.

Little's law gives the number of claims in flight: rate × time. The rest follows from it, from how
the bridge polls and sends heartbeats, from the capacity ledger (docs/ledger.md), and from the
measured costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bridge.capacity.costs import Costs
from bridge.capacity.limits import CORE_LOAD, ROUND_TRIP_S, Limit, Usage, limits_of
from bridge.capacity.load import Load

SLOT_LOAD = 0.8
"""Share of the slots that are busy on average; the rest is for a rush."""
IDLE_AFTER_S = 0.5
"""A poll that is open for longer is idle and takes no room: bridge/loops/open_polls.py."""
REMEMBERED_S = 900.0
"""How long the closed claim of a finished job stays in Redis: store/lua/close.lua."""
BASE64 = 4 / 3
"""Size of a message's body in Redis, compared with the input in it."""
MB = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a load needs.

    Attributes:
        in_flight: Average number of claims in flight.
        waiting_most: The waiting room: claims that may wait while every slot is taken.
        in_flight_most: Claims in flight during a backlog: every slot is taken, the waiting room is
            full, and an idle poll of each activity has brought one claim more.
        heartbeats_most: Heartbeats per second during a backlog.
        slots: Slots of all workers together.
        workers: Worker processes.
        worker_cores: CPU of the workers, in cores, without the work of the tasks themselves.
        open_polls: Open polls of all pollers together that fetch tasks as fast as they come; at
            least one an activity.
        pollers: Poller processes.
        poller_bytes: Memory of a poller.
        beats: Beat processes.
        beat_bytes: Memory of a beat process.
        store_bytes: Memory of Redis, which is also the broker.
        store_cores: CPU of Redis, in cores.
        limits: The limit that is reached first comes first; limits that do not depend on the rate
            come last.
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
        """The limits that this load exceeds."""
        return tuple(limit for limit in self.limits if limit.exceeded)

    @property
    def first(self) -> Limit:
        """The limit that is reached first when the rate grows."""
        return self.limits[0]

    @property
    def growth(self) -> float:
        """By which factor the rate can grow until the first limit is reached."""
        return self.first.growth or 0.0


def plan(load: Load, costs: Costs) -> Plan:
    """Calculate what the load needs, and which limit it reaches first."""
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
    usage = Usage(in_flight=in_flight, heartbeats=heartbeats, store_cores=store_ms / 1000)
    limits = limits_of(load, usage)
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
        store_cores=usage.store_cores,
        limits=tuple(sorted(limits, key=_nearest)),
    )


def _slots_with_room(load: Load, in_flight: float) -> int:
    """The number of slots that gives enough room for the polls that bring tasks at this rate.

    A poll takes room while it is fresh: for the round trip that brings a task, or for IDLE_AFTER_S
    when the next task of the activity comes later.
    """
    fresh = load.activities * max(
        load.rate_per_activity * ROUND_TRIP_S, min(1.0, load.rate_per_activity * IDLE_AFTER_S)
    )
    return math.ceil((in_flight + fresh) / (1 + load.waiting_per_slot))


def _processes(cpu_ms_per_s: float) -> int:
    """How many processes with a core each are needed; at least one."""
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
