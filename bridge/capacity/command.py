"""The command ``celery -A bridge capacity``.

Every ``celery`` command loads this module, so it imports the rest of the room inside its functions.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from celery.bin.base import CeleryOption

from bridge.cli.base import JSON, BridgeCommand

if TYPE_CHECKING:
    from bridge.app_state import Installation
    from bridge.capacity.load import Load

DEFAULT_REGION = "us-east-1"


@click.command(cls=BridgeCommand)
@click.option(
    "--rate",
    type=float,
    required=True,
    metavar="TASKS/S",
    cls=CeleryOption,
    help="Activity tasks per second, of all activities together.",
)
@click.option(
    "--duration",
    type=float,
    required=True,
    metavar="SECONDS",
    cls=CeleryOption,
    help="Average duration of a task.",
)
@click.option(
    "--heartbeat",
    type=float,
    metavar="SECONDS",
    cls=CeleryOption,
    help="Interval between heartbeats. Default: BRIDGE_HEARTBEAT_S.",
)
@click.option(
    "--activities",
    type=int,
    metavar="COUNT",
    cls=CeleryOption,
    help="Number of activities. Default: those of the app's tasks.",
)
@click.option("--region", cls=CeleryOption, help="Region whose quotas apply. Default: AWS_REGION.")
@click.option(
    "--concurrency",
    type=int,
    default=4,
    show_default=True,
    metavar="SLOTS",
    cls=CeleryOption,
    help="Slots of a worker process.",
)
@click.option(
    "--input-bytes",
    type=int,
    default=1_024,
    show_default=True,
    metavar="BYTES",
    cls=CeleryOption,
    help="Size of a task's input, as JSON.",
)
@click.option(
    "--output-bytes",
    type=int,
    default=1_024,
    show_default=True,
    metavar="BYTES",
    cls=CeleryOption,
    help="Size of a task's output, as JSON.",
)
@click.option(
    "--failing",
    type=float,
    default=0.0,
    show_default=True,
    metavar="SHARE",
    cls=CeleryOption,
    help="Share of the tasks that fail, 0 to 1.",
)
@click.option(
    "--tasks-per-execution",
    type=float,
    default=1.0,
    show_default=True,
    metavar="COUNT",
    cls=CeleryOption,
    help="Average number of activity tasks in an execution.",
)
@click.option(
    "--quota",
    "given_quotas",
    multiple=True,
    metavar="OPERATION=RATE",
    cls=CeleryOption,
    help="Calls per second that your account may make, if not AWS's default; may be repeated.",
)
@JSON
@click.pass_context
def capacity(ctx: click.Context, /, **given: Any) -> None:
    """Calculate what a load needs, and which limit it reaches first, without Redis and AWS.

    Exit status 1 if a quota or limit is exceeded at this rate.
    """
    from bridge.capacity import output
    from bridge.capacity.costs import Costs
    from bridge.capacity.plan import plan

    costs = Costs.load()
    made = plan(_load(ctx, given), costs)
    if given["as_json"]:
        click.echo(json.dumps(output.as_json(made, costs), indent=2))
    else:
        output.show(made, costs)
    ctx.exit(1 if made.exceeded else 0)


def _load(ctx: click.Context, given: dict[str, Any]) -> Load:
    from bridge.capacity.load import Load
    from bridge.settings import load

    bridge = _bridge(ctx)
    settings = bridge.settings if bridge else load()
    heartbeat_s = settings.heartbeat_s if given["heartbeat"] is None else given["heartbeat"]
    activities = given["activities"]
    if activities is None:
        activities = len(bridge.load_tasks()) if bridge else 1
    _check(ctx, given, tick_s=settings.tick_s, heartbeat_s=heartbeat_s, activities=activities)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return Load(
        rate=given["rate"],
        duration_s=given["duration"],
        heartbeat_s=heartbeat_s,
        activities=activities,
        region=given["region"] or region or DEFAULT_REGION,
        concurrency=given["concurrency"],
        input_bytes=given["input_bytes"],
        output_bytes=given["output_bytes"],
        failing=given["failing"],
        tasks_per_execution=given["tasks_per_execution"],
        rates=_quotas(ctx, given),
        look_ahead=settings.look_ahead,
        look_ahead_s=settings.look_ahead_s,
        look_ahead_most=settings.look_ahead_most,
        max_polls_per_activity=settings.max_polls_per_activity,
    )


def _bridge(ctx: click.Context) -> Installation | None:
    """The bridge of the app; None when it has none, which a plan does not need."""
    app = getattr(ctx.obj, "app", None)
    if not hasattr(app, "bridge"):
        return None
    from bridge.app_state import installed

    return installed(app)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Number:
    """The value of an option, which values are possible, and the message for others."""

    option: str
    value: float
    is_possible: Callable[[float], bool]
    fault: str
    remedy: str


def _check(
    ctx: click.Context, given: dict[str, Any], *, tick_s: float, heartbeat_s: float, activities: int
) -> None:
    """Refuse values that no load can have. A value that exceeds a limit is a result instead."""
    numbers = [
        *_rate_and_times(given, tick_s=tick_s, heartbeat_s=heartbeat_s),
        *_sizes(given),
        *_counts(given, activities=activities),
    ]
    for number in numbers:
        if not (math.isfinite(number.value) and number.is_possible(number.value)):
            raise click.UsageError(
                f"{number.option} {number.value:g} {number.fault}. {number.remedy}", ctx
            )


def _rate_and_times(given: dict[str, Any], *, tick_s: float, heartbeat_s: float) -> list[_Number]:
    return [
        _Number(
            option="--rate",
            value=given["rate"],
            is_possible=lambda n: n > 0,
            fault="is not a rate above 0",
            remedy="Give the tasks per second, such as 50, or 0.2 for one every 5 s.",
        ),
        _Number(
            option="--duration",
            value=given["duration"],
            is_possible=lambda n: n > 0,
            fault="is not a duration above 0",
            remedy="Give seconds, such as 0.2 or 90.",
        ),
        _Number(
            option="--heartbeat",
            value=heartbeat_s,
            is_possible=lambda n: n >= tick_s,
            fault=f"is below BRIDGE_TICK_S={tick_s:g}, and heartbeats are sent at most that often",
            remedy="Give a longer interval; 20 is the default.",
        ),
    ]


def _sizes(given: dict[str, Any]) -> list[_Number]:
    return [
        _Number(
            option=f"--{name}-bytes",
            value=given[f"{name}_bytes"],
            is_possible=lambda n: n >= 0,
            fault="is not a size",
            remedy="Give bytes, 0 or more.",
        )
        for name in ("input", "output")
    ]


def _counts(given: dict[str, Any], *, activities: int) -> list[_Number]:
    return [
        _Number(
            option="--activities",
            value=activities,
            is_possible=lambda n: n >= 1,
            fault="is not a number of activities",
            remedy="Give 1 or more.",
        ),
        _Number(
            option="--concurrency",
            value=given["concurrency"],
            is_possible=lambda n: n >= 1,
            fault="leaves a worker without a slot, and without slots nothing is claimed",
            remedy="Give 1 or more, as to celery worker.",
        ),
        _Number(
            option="--failing",
            value=given["failing"],
            is_possible=lambda n: 0 <= n <= 1,
            fault="is not a share of the tasks",
            remedy="Give 0 to 1, such as 0.05 for one in twenty.",
        ),
        _Number(
            option="--tasks-per-execution",
            value=given["tasks_per_execution"],
            is_possible=lambda n: n > 0,
            fault="is not a number of tasks above 0: the bridge has no work without tasks",
            remedy="Give the average, such as 1 or 40.",
        ),
    ]


def _quotas(ctx: click.Context, given: dict[str, Any]) -> dict[str, float]:
    from bridge.capacity.quotas import OPERATIONS

    made = {}
    for each in given["given_quotas"]:
        operation, _, rate = each.partition("=")
        if operation not in OPERATIONS:
            raise click.UsageError(
                f"--quota {each!r} does not name an operation with a quota for activities. "
                f"Name one of {', '.join(OPERATIONS)}.",
                ctx,
            )
        made[operation] = _positive(rate)
        if not made[operation]:
            raise click.UsageError(
                f"--quota {each!r} has no rate: a quota is a number of calls per second. "
                f"Write {operation}=1000, for example.",
                ctx,
            )
    return made


def _positive(text: str) -> float:
    """The number in a text; 0 when it is not a number above 0."""
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0
