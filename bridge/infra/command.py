"""The commands ``celery -A bridge infra …``.

Every ``celery`` command loads this module, so it imports the generators inside its functions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from celery.bin.base import CeleryOption

from bridge.cli.base import BridgeCommand

if TYPE_CHECKING:
    from bridge.infra.cfn import Json
    from bridge.infra.fleet import Fleet
    from bridge.infra.render import Format

_YAML = (".yaml", ".yml")


_OPTIONS = (
    click.option(
        "--activity",
        "names",
        multiple=True,
        metavar="NAME|ARN",
        cls=CeleryOption,
        help="Activity to generate for; may be repeated. Default: those of all tasks.",
    ),
    click.option(
        "--name",
        default="bridge",
        show_default=True,
        cls=CeleryOption,
        help="Name of the fleet, with which the names of stacks and alarms begin.",
    ),
    click.option("--region", cls=CeleryOption, help="Default, in templates: the stack's."),
    click.option("--account", cls=CeleryOption, help="Default, in templates: the stack's."),
    click.option("--image", cls=CeleryOption, help="Container image in ECR, for ecs."),
    click.option(
        "--tag",
        "tags",
        multiple=True,
        metavar="KEY=VALUE",
        cls=CeleryOption,
        help="Tag of the resources; may be repeated.",
    ),
    click.option(
        "--kms-key-arn", cls=CeleryOption, help="KMS key that encrypts the activities' data."
    ),
    click.option(
        "--dimension",
        "dimensions",
        multiple=True,
        metavar="KEY=VALUE",
        cls=CeleryOption,
        help="Dimension of the bridge's fleet-wide metrics; may be repeated.",
    ),
    click.option(
        "--existing-vpc",
        is_flag=True,
        cls=CeleryOption,
        help="ecs: take VPC and subnets as parameters.",
    ),
    click.option(
        "--format",
        "form",
        type=click.Choice(["json", "yaml"]),
        cls=CeleryOption,
        help="Default: by the suffix of FILE; else json for iam, yaml for templates.",
    ),
    click.option(
        "--json", "as_json", is_flag=True, cls=CeleryOption, help="The same as --format json."
    ),
    click.option(
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        cls=CeleryOption,
        help="Write to FILE instead of stdout.",
    ),
)


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that all commands of the group have."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return click.pass_context(command)


@click.group()
def infra() -> None:
    """Generate policies and CloudFormation templates for the activities."""


@infra.command("iam", cls=BridgeCommand)
@_options
def iam(ctx: click.Context, **given: Any) -> None:
    """Policies and trust policies of poller, beat, worker, state machine and deployment."""
    from bridge.infra.iam import iam as make

    _write(make(_fleet(ctx, given)), given, "json")


@infra.command("cloudformation", cls=BridgeCommand)
@_options
def cloudformation(ctx: click.Context, **given: Any) -> None:
    """Template of the activities, with tags and encryption, and of the roles."""
    from bridge.infra.activities import activities

    _write_template(activities, ctx, given)


@infra.command("ecs", cls=BridgeCommand)
@_options
def ecs(ctx: click.Context, **given: Any) -> None:
    """Template of network, Redis and the processes on Fargate, with autoscaling of workers."""
    from bridge.infra.ecs import ecs as make

    _write_template(make, ctx, given)


@infra.command("dashboard", cls=BridgeCommand)
@_options
def dashboard(ctx: click.Context, **given: Any) -> None:
    """Template of a CloudWatch dashboard."""
    from bridge.infra.dashboard import dashboard as make

    _write_template(make, ctx, given)


@infra.command("alarms", cls=BridgeCommand)
@_options
def alarms(ctx: click.Context, **given: Any) -> None:
    """Template of CloudWatch alarms for every activity and for the fleet."""
    from bridge.infra.alarms import alarms as make

    _write_template(make, ctx, given)


def _fleet(ctx: click.Context, given: dict[str, Any]) -> Fleet:
    from bridge.app_state import installed
    from bridge.errors import app_name
    from bridge.infra.fleet import Fleet

    names = given["names"] or list(installed(ctx.obj.app).load_tasks())
    return Fleet.of(
        names,
        name=given["name"],
        region=given["region"],
        account=given["account"],
        image=given["image"],
        tags=_pairs(ctx, "--tag", given["tags"]),
        kms_key_arn=given["kms_key_arn"],
        existing_vpc=given["existing_vpc"],
        dimensions=_pairs(ctx, "--dimension", given["dimensions"]),
        app=app_name(),
    )


def _pairs(ctx: click.Context, option: str, given: tuple[str, ...]) -> dict[str, str]:
    if wrong := [each for each in given if "=" not in each]:
        raise click.UsageError(f"{option} {wrong[0]!r} is not KEY=VALUE.", ctx)
    return dict(each.split("=", 1) for each in given)


def _write_template(
    make: Callable[[Fleet], Json], ctx: click.Context, given: dict[str, Any]
) -> None:
    from bridge.infra.limits import check_template

    fleet = _fleet(ctx, given)
    _write(check_template(make(fleet), activities=len(fleet.activities)), given, "yaml")


def _write(made: Json, given: dict[str, Any], default: Format) -> None:
    from bridge.infra.render import render

    output: Path | None = given["output"]
    form: Format = default
    if given["as_json"]:
        form = "json"
    elif given["form"]:
        form = given["form"]
    elif output is not None:
        form = "yaml" if output.suffix in _YAML else "json"
    text = render(made, form)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"{output}: {len(text.encode()):,} bytes", err=True)
