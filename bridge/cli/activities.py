"""The command ``activities``: create, list, describe and delete activities."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from celery.bin.base import CeleryOption

from bridge.cli.base import JSON, BridgeCommand, installation_of

if TYPE_CHECKING:
    from bridge.errors import BridgeError
    from bridge.names import ActivityAttributes
    from bridge.stepfunctions import ActivityDescription

T = TypeVar("T")


@click.group()
def activities() -> None:
    """Create, list, describe and delete activities in Step Functions."""


@activities.command("create", cls=BridgeCommand)
@click.argument("names", nargs=-1)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="KEY=VALUE",
    cls=CeleryOption,
    help="Tag for the created activities; may be repeated.",
)
@click.option(
    "--kms-key-id", cls=CeleryOption, help="KMS key that encrypts the created activities."
)
@JSON
@click.pass_context
def create(
    ctx: click.Context,
    names: tuple[str, ...],
    tags: tuple[str, ...],
    kms_key_id: str | None,
    as_json: bool,
) -> None:
    """Create the activities NAMES, or all registered ones. Existing activities do not change."""
    from bridge.errors import SettingsError
    from bridge.names import check_activity, parse_arn
    from bridge.stepfunctions import Places, create_activity

    bridge = installation_of(ctx)
    places = Places(bridge.settings.roles)
    wanted = [check_activity(name) for name in names] or list(bridge.load_tasks())
    made = {name: _attributes(ctx, name, tags, kms_key_id) for name in wanted}

    def create_one(activity: str) -> str:
        there = places.connection(places.of(activity))
        arn = create_activity(made[activity], there)
        if parse_arn(activity) and arn != activity:
            raise SettingsError(
                f"{activity} belongs to an account for which this process has no credentials, so "
                f"{arn} has been created instead. Name a role of that account in BRIDGE_ROLES."
            )
        return arn

    arns, failures = _for_each(made, create_one)
    if as_json:
        click.echo(json.dumps(arns, indent=2))
    elif arns:
        show_activities(arns)
    _raise_all(failures)


def _attributes(
    ctx: click.Context, activity: str, tags: Iterable[str], kms_key_id: str | None
) -> ActivityAttributes:
    """What CreateActivity is told of one activity, from the command's options."""
    from pydantic import ValidationError

    from bridge.names import ActivityAttributes, Encryption

    pairs = [tag.partition("=") for tag in tags]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise click.UsageError(f"--tag {wrong[0]!r} is not KEY=VALUE.", ctx)
    try:
        encryption = None
        if kms_key_id:
            encryption = Encryption(type="CUSTOMER_MANAGED_KMS_KEY", kms_key_id=kms_key_id)
        return ActivityAttributes(
            name=activity, tags={key: value for key, _, value in pairs}, encryption=encryption
        )
    except ValidationError as exc:
        raise click.UsageError("; ".join(str(each["msg"]) for each in exc.errors()), ctx) from None


@activities.command("list", cls=BridgeCommand)
@JSON
def list_(as_json: bool) -> None:
    """List the activities of this account and region."""
    from bridge.stepfunctions import list_activities

    arns = list_activities()
    if as_json:
        click.echo(json.dumps(arns, indent=2))
    else:
        show_activities(arns)


@activities.command("describe", cls=BridgeCommand)
@click.argument("names", nargs=-1)
@JSON
@click.pass_context
def describe(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Describe the activities NAMES (names or ARNs), or all registered ones."""
    from bridge.names import check_activity
    from bridge.stepfunctions import Places, describe_activity, resolve

    bridge = installation_of(ctx)
    places = Places(bridge.settings.roles)
    wanted = [check_activity(name) for name in names] or list(bridge.load_tasks())
    arns = resolve(wanted, places)
    described, failures = _for_each(
        arns, lambda each: describe_activity(arns[each], places.connection(places.of(each)))
    )
    found = list(described.values())
    if as_json:
        click.echo(json.dumps([activity_as_json(each) for each in found], indent=2))
    elif found:
        show_descriptions(found)
    _raise_all(failures)


@activities.command("delete", cls=BridgeCommand)
@click.argument("names", nargs=-1, required=True)
@click.option("--yes", is_flag=True, cls=CeleryOption, help="Do not ask for confirmation.")
@JSON
@click.pass_context
def delete(ctx: click.Context, names: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Delete the activities NAMES (names or ARNs).

    An execution that waits for a deleted activity never ends by itself.
    """
    from bridge.names import check_activity
    from bridge.stepfunctions import Places, delete_activity, resolve

    places = Places(installation_of(ctx).settings.roles)
    arns = resolve([check_activity(name) for name in names], places)
    if not yes:
        for arn in arns.values():
            click.echo(arn, err=True)
        click.confirm(f"Delete {len(arns)} activities?", abort=True, err=True)

    def delete_one(activity: str) -> str:
        delete_activity(arns[activity], places.connection(places.of(activity)))
        return arns[activity]

    deleted, failures = _for_each(arns, delete_one)
    click.echo(json.dumps(deleted, indent=2) if as_json else f"{len(deleted)} deleted")
    _raise_all(failures)


def _for_each(
    activities: Iterable[str], call: Callable[[str], T]
) -> tuple[dict[str, T], list[BridgeError]]:
    """Call Step Functions for each activity, also after the call for one of them has failed."""
    from bridge.errors import BridgeError

    done: dict[str, T] = {}
    failures = []
    for activity in activities:
        try:
            done[activity] = call(activity)
        except BridgeError as exc:
            failures.append(exc)
    return done, failures


def _raise_all(failures: Sequence[BridgeError]) -> None:
    """End the command with all errors in one; a ``SettingsError`` if all of them are such."""
    from bridge.errors import BridgeError, SettingsError

    if failures:
        only_settings = all(isinstance(each, SettingsError) for each in failures)
        message = " ".join(dict.fromkeys(map(str, failures)))
        raise SettingsError(message) if only_settings else BridgeError(message)


def show_activities(arns: Mapping[str, str]) -> None:
    """Print activities and their ARNs."""
    from bridge.cli.tables import console, table

    rows = table("activity", "ARN")
    for name, arn in arns.items():
        rows.add_row(name, arn)
    console().print(rows)


def activity_as_json(activity: ActivityDescription) -> dict[str, Any]:
    """One activity as ``activities describe --json`` prints it."""
    key = activity.encryption
    return {
        "name": activity.name,
        "arn": activity.arn,
        "created": activity.created.isoformat(),
        "encryption": None if key is None else key.model_dump(),
    }


def show_descriptions(activities: Iterable[ActivityDescription]) -> None:
    """Print activities with their ARN, creation time and encryption."""
    from bridge.cli.tables import console, table

    rows = table("activity", "ARN", "created", "encryption")
    for each in activities:
        key = each.encryption
        created = f"{each.created:%Y-%m-%d %H:%M}"
        rows.add_row(each.name, each.arn, created, key.kms_key_id or key.type if key else "-")
    console().print(rows)
