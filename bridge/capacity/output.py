"""Show a plan: as tables for people, or as JSON for programs."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from bridge.capacity.costs import Costs
from bridge.capacity.limits import Limit
from bridge.capacity.load import Load
from bridge.capacity.plan import MB, Plan

WIDTH = 100


def show(plan: Plan, costs: Costs) -> None:
    """Print a plan: what the load needs, each limit, and which limit is reached first."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, WIDTH))
    first = Text("→ ", "bold").append(sentence(plan))
    lines: list[Text | Table] = [
        Text(_headline(plan.load)),
        Text(),
        _needs(plan),
        Text(),
        _limits(plan),
        Text(),
        first,
    ]
    lines += [Text.assemble(("! ", "yellow"), warning) for warning in warnings(plan)]
    measured = costs.measured
    quick = ", a quick run" if measured["quick"] else ""
    source = f"Costs: {measured['machine']}, {measured['date']}{quick}; yours will differ."
    lines += [Text(), Text(source, "dim")]
    console.print(Group(*lines), highlight=False)


def sentence(plan: Plan) -> str:
    """Which limit is reached first, at which rate, and what to do then."""
    limit, rate = plan.first, plan.load.rate
    if limit.exceeded:
        fact = f"{limit.name} is exceeded: it allows {_rate(plan.growth * rate)} tasks/s."
    else:
        fact = (
            f"{limit.name} is the first limit, at {_times(plan.growth)} this rate: "
            f"{_rate(plan.growth * rate)} tasks/s."
        )
    return f"{fact} {limit.remedy}"


def warnings(plan: Plan) -> list[str]:
    """What else needs attention, in one text each."""
    found, given = list[str](), {plan.first.remedy}
    for limit in plan.exceeded:
        if limit is plan.first:
            continue
        remedy = "" if limit.remedy in given else f" {limit.remedy}"
        given.add(limit.remedy)
        found.append(
            f"{limit.name}: {_amount(limit.used)}{limit.unit} of {_amount(limit.most)}{limit.unit}."
            f"{remedy}"
        )
    heartbeats = next(limit for limit in plan.limits if limit.name == "SendTaskHeartbeat")
    if not heartbeats.exceeded and plan.heartbeats_most > heartbeats.most:
        found.append(
            f"With every slot taken, as after a rush or an outage, {plan.in_flight_most:,} claims "
            f"are in flight: {_amount(plan.heartbeats_most)} heartbeats/s of "
            f"{_amount(heartbeats.most)}. Send heartbeats less often, or use fewer slots."
        )
    return found


def as_json(plan: Plan, costs: Costs) -> dict[str, Any]:
    """The plan for programs; docs/capacity.md documents this shape, which stays as it is."""
    return {
        "load": _load_as_json(plan.load),
        "needs": _needs_as_json(plan),
        "limits": [
            {
                "name": limit.name,
                "used": round(limit.used, 3),
                "limit": limit.most,
                "utilisation": round(limit.utilisation, 4),
                "growth": None if limit.growth is None else round(limit.growth, 3),
                "exceeded": limit.exceeded,
            }
            for limit in plan.limits
        ],
        "first": {
            "name": plan.first.name,
            "growth": round(plan.growth, 3),
            "rate": round(plan.growth * plan.load.rate, 3),
            "remedy": plan.first.remedy,
        },
        "warnings": warnings(plan),
        "costs": costs.measured,
    }


def _load_as_json(load: Load) -> dict[str, Any]:
    return {
        "rate": load.rate,
        "duration_s": load.duration_s,
        "heartbeat_s": load.heartbeat_s,
        "activities": load.activities,
        "region": load.region,
        "concurrency": load.concurrency,
        "input_bytes": load.input_bytes,
        "output_bytes": load.output_bytes,
        "failing": load.failing,
        "tasks_per_execution": load.tasks_per_execution,
    }


def _needs_as_json(plan: Plan) -> dict[str, Any]:
    return {
        "in_flight": round(plan.in_flight, 3),
        "in_flight_most": plan.in_flight_most,
        "waiting_most": plan.waiting_most,
        "slots": plan.slots,
        "workers": plan.workers,
        "worker_cores": round(plan.worker_cores, 3),
        "open_polls": plan.open_polls,
        "pollers": plan.pollers,
        "poller_bytes": round(plan.poller_bytes),
        "beats": plan.beats,
        "beat_bytes": round(plan.beat_bytes),
        "store_bytes": round(plan.store_bytes),
        "store_cores": round(plan.store_cores, 3),
    }


def _headline(load: Load) -> str:
    activities = "1 activity" if load.activities == 1 else f"{load.activities:,} activities"
    return (
        f"{_rate(load.rate)} tasks/s of {load.duration_s:g} s, {activities}, {load.region}; "
        f"a heartbeat every {load.heartbeat_s:g} s"
    )


def _needs(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("needs")
    table.add_column("", justify="right")
    table.add_column("")
    rows = [
        (
            "claims in flight",
            f"{math.ceil(plan.in_flight):,}",
            f"{plan.in_flight_most:,} with every slot taken",
        ),
        ("worker slots", f"{plan.slots:,}", ""),
        (
            "waiting room",
            f"{plan.waiting_most:,}",
            f"claims that may wait for a slot: {_amount(plan.load.waiting_per_slot)} per slot",
        ),
        (
            "worker processes",
            f"{plan.workers:,}",
            f"--concurrency {plan.load.concurrency}; {_amount(plan.worker_cores)} cores, plus "
            "the work of the tasks",
        ),
        (
            "open polls",
            f"{plan.open_polls:,}",
            "of all pollers; one per activity when no tasks come",
        ),
        ("pollers", f"{plan.pollers:,}", f"{_bytes(plan.poller_bytes)} each"),
        ("beat processes", f"{plan.beats:,}", f"{_bytes(plan.beat_bytes)} each"),
        ("Redis memory", _bytes(plan.store_bytes), "claims and messages"),
        ("Redis CPU", _amount(plan.store_cores), "cores"),
    ]
    for row in rows:
        table.add_row(*row)
    return table


def _limits(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("limit", "used", "of", "", "reached at"):
        table.add_column(name, justify="left" if name == "limit" else "right")
    for limit in plan.limits:
        table.add_row(*_row(limit), style="red" if limit.exceeded else "")
    return table


def _row(limit: Limit) -> tuple[str, ...]:
    return (
        limit.name,
        f"{_amount(limit.used)}{limit.unit}",
        f"{_amount(limit.most)}{limit.unit}",
        _percent(limit.utilisation),
        "" if limit.growth is None else _times(limit.growth),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 or not share else "< 1 %"


def _times(factor: float) -> str:
    return f"{factor:,.0f} ×" if factor >= 10 else f"{factor:.2g} ×"


def _rate(a_second: float) -> str:
    return f"{a_second:,.0f}" if a_second >= 10 else f"{a_second:.3g}"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"


def _bytes(count: float) -> str:
    if count >= 1000 * MB:
        return f"{count / MB / 1000:,.1f} GB"
    return f"{math.ceil(count / MB):,} MB"
