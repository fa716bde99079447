"""``celery -A bridge capacity``: parse, calculate, print.

Loaded by every ``celery`` command, like ``bridge.cli``: imports stand inside the commands.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from celery.bin.base import CeleryOption

from bridge.cli.base import JSON, BridgeCommand

if TYPE_CHECKING:
    from bridge.app_state import Installation
    from bridge.capacity.plan import Load

DEFAULT_REGION = "us-east-1"


@click.command(cls=BridgeCommand)
@click.option(
    "--rate",
    type=float,
    required=True,
    metavar="TASKS/S",
    cls=CeleryOption,
    help="Activity tasks a second, over all activities.",
)
@click.option(
    "--duration",
    type=float,
    required=True,
    metavar="SECONDS",
    cls=CeleryOption,
    help="Of a task, on average.",
)
@click.option(
    "--heartbeat",
    type=float,
    metavar="SECONDS",
    cls=CeleryOption,
    help="Between heartbeats of a token. Default: BRIDGE_HEARTBEAT_S.",
)
@click.option(
    "--activities",
    type=int,
    metavar="COUNT",
    cls=CeleryOption,
    help="How many share the rate. Default: those of the app's tasks.",
)
@click.option("--region", cls=CeleryOption, help="Whose quotas count. Default: AWS_REGION.")
@click.option(
    "--concurrency",
    type=int,
    default=4,
    show_default=True,
    metavar="SLOTS",
    cls=CeleryOption,
    help="Of a worker process.",
)
@click.option(
    "--input-bytes",
    type=int,
    default=1_024,
    show_default=True,
    metavar="BYTES",
    cls=CeleryOption,
    help="Of a task's input, as JSON.",
)
@click.option(
    "--output-bytes",
    type=int,
    default=1_024,
    show_default=True,
    metavar="BYTES",
    cls=CeleryOption,
    help="Of a task's output, as JSON.",
)
@click.option(
    "--failing",
    type=float,
    default=0.0,
    show_default=True,
    metavar="SHARE",
    cls=CeleryOption,
    help="Of the tasks that fail, 0 to 1.",
)
@click.option(
    "--tasks-per-execution",
    type=float,
    default=1.0,
    show_default=True,
    metavar="COUNT",
    cls=CeleryOption,
    help="Activity tasks of an execution.",
)
@click.option(
    "--quota",
    "given_quotas",
    multiple=True,
    metavar="OPERATION=RATE",
    cls=CeleryOption,
    help="Your account's, a second, where it is not AWS's default; may be repeated.",
)
@JSON
@click.pass_context
def capacity(ctx: click.Context, /, **given: Any) -> None:
    """Calculate what a load needs, and what gives out first. Needs neither Redis nor AWS.

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
    from bridge.capacity.plan import Load
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
    """The app's installation; None without one, for a plan needs none."""
    app = getattr(ctx.obj, "app", None)
    if not hasattr(app, "bridge"):
        return None
    from bridge.app_state import installed

    return installed(app)


def _check(
    ctx: click.Context, given: dict[str, Any], *, tick_s: float, heartbeat_s: float, activities: int
) -> None:
    """Refuse what no load can be; what exceeds a limit is a result."""

    def refuse(option: str, value: float, why: str, instead: str) -> None:
        raise click.UsageError(f"{option} {value:g} {why}. {instead}", ctx)

    def need(option: str, value: float, right: Callable[[float], bool], why: str, ask: str) -> None:
        if not (math.isfinite(value) and right(value)):
            refuse(option, value, why, ask)

    need(
        "--rate",
        given["rate"],
        lambda n: n > 0,
        "is no rate: nothing would come",
        "Give the tasks a second, such as 50, or 0.2 for one each 5 s.",
    )
    need(
        "--duration",
        given["duration"],
        lambda n: n > 0,
        "is no duration of a task",
        "Give seconds, such as 0.2 or 90.",
    )
    need(
        "--heartbeat",
        heartbeat_s,
        lambda n: n >= tick_s,
        f"is below BRIDGE_TICK_S={tick_s:g}: heartbeats are sent once a tick at most",
        "Give a longer interval; 20 is the default.",
    )
    need(
        "--activities",
        activities,
        lambda n: n >= 1,
        "is no number of activities",
        "Give 1 or more.",
    )
    need(
        "--concurrency",
        given["concurrency"],
        lambda n: n >= 1,
        "leaves a worker without a slot, and without slots nothing is claimed",
        "Give 1 or more, as to celery worker.",
    )
    for option in ("input", "output"):
        need(
            f"--{option}-bytes",
            given[f"{option}_bytes"],
            lambda n: n >= 0,
            "is no size",
            "Give bytes, 0 or more.",
        )
    need(
        "--failing",
        given["failing"],
        lambda n: 0 <= n <= 1,
        "is no share of the tasks",
        "Give 0 to 1, such as 0.05 for one in twenty.",
    )
    need(
        "--tasks-per-execution",
        given["tasks_per_execution"],
        lambda n: n > 0,
        "is no number of tasks: executions without any are no load of the bridge",
        "Give the average, such as 1 or 40.",
    )


def _quotas(ctx: click.Context, given: dict[str, Any]) -> dict[str, float]:
    from bridge.capacity.quotas import OPERATIONS

    made = {}
    for each in given["given_quotas"]:
        operation, _, rate = each.partition("=")
        if operation not in OPERATIONS:
            raise click.UsageError(
                f"--quota {each!r} names no operation that the bridge is bounded by. "
                f"Name one of {', '.join(OPERATIONS)}.",
                ctx,
            )
        made[operation] = _positive(rate)
        if not made[operation]:
            raise click.UsageError(
                f"--quota {each!r} has no rate: a quota is calls a second. "
                f"Write {operation}=1000, for example.",
                ctx,
            )
    return made


def _positive(text: str) -> float:
    """The number that a text is; 0 if it is none, or none that is above 0."""
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0
