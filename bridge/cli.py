"""The sub-commands of ``celery -A bridge …``: they parse and print, nothing else.

Loaded by every ``celery`` command of whatever app (an entry point of ``celery.commands``), so
imports stand inside the commands.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from celery.bin.base import LOG_LEVEL, CeleryCommand, CeleryOption
from celery.bin.control import status as celery_status

from bridge.versions import enabled

if TYPE_CHECKING:
    from bridge.app_state import Installation
    from bridge.errors import BridgeError
    from bridge.store import StatusReader

T = TypeVar("T")

JSON = click.option(
    "--json", "as_json", is_flag=True, cls=CeleryOption, help="Print JSON for programs."
)


class BridgeCommand(CeleryCommand):  # type: ignore[misc]
    """A command whose errors are sentences, not tracebacks."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; an error of the bridge ends it with exit status 1, a wrong setting with 2."""
        from bridge.errors import BridgeError

        try:
            return super().invoke(ctx)
        except click.ClickException:
            raise
        except BridgeError as exc:
            raise click.ClickException(str(exc)) from None


def _for_each(
    activities: Iterable[str], call: Callable[[str], T]
) -> tuple[dict[str, T], list[BridgeError]]:
    """Call Step Functions for each activity; one that fails keeps no other from its turn."""
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
    """End the command with what went wrong, each sentence once; status 2 for settings alone."""
    from bridge.errors import BridgeError, SettingsError

    if failures:
        only_settings = all(isinstance(each, SettingsError) for each in failures)
        said = " ".join(dict.fromkeys(map(str, failures)))
        raise SettingsError(said) if only_settings else BridgeError(said)


def _bridge(ctx: click.Context) -> Installation:
    from bridge.app_state import installed

    return installed(ctx.obj.app)


@click.command(cls=BridgeCommand)
@click.option(
    "-l", "--loglevel", default="INFO", type=LOG_LEVEL, cls=CeleryOption, help="Logging level."
)
@click.option("-f", "--logfile", cls=CeleryOption, help="Log to this file instead of stderr.")
@click.pass_context
def poll(ctx: click.Context, loglevel: int, logfile: str | None) -> None:
    """Claim activity tasks, enqueue them as Celery jobs, and report their outcomes.

    Polls only while workers have room. SIGTERM and SIGINT drain: open polls return, up to
    a minute, and what they bring is enqueued; a second signal ends at once.
    """
    import asyncio

    from bridge.processes.poll import serve
    from bridge.stepfunctions import Places, resolve

    bridge = _bridge(ctx)
    registry = bridge.load_tasks()
    bridge.app.log.setup(loglevel, logfile, redirect_stdouts=False)
    places = Places(bridge.settings.roles)
    arns = resolve(registry, places)
    left = asyncio.run(serve(bridge, arns, places))
    if left is not None:
        logging.getLogger("bridge").error(
            "ended at once, and leaves: %d open polls (their next tasks are swallowed), "
            "claims neither stored nor dispatched: %s, stored and not dispatched: %s",
            left.open_polls,
            left.unstored or "none",
            left.undispatched or "none",
        )
        ctx.exit(1)


@click.command(cls=BridgeCommand)
@JSON
@click.pass_context
def settings(ctx: click.Context, as_json: bool) -> None:
    """Show the effective settings; secrets are masked."""
    from bridge import report

    effective = report.effective_settings(_bridge(ctx))
    if as_json:
        click.echo(json.dumps(effective, indent=2))
    else:
        report.show_settings(effective)


@click.command(cls=BridgeCommand)
@JSON
@click.option("--watch", is_flag=True, cls=CeleryOption, help="Show it until Ctrl-C, each second.")
@click.option(
    "--why",
    metavar="ACTIVITY",
    cls=CeleryOption,
    help="Say why nothing more of this activity is claimed.",
)
@click.pass_context
def status(ctx: click.Context, as_json: bool, watch: bool, why: str | None) -> None:
    """Show each activity's claims and polls, and what occupies the workers' slots."""
    from bridge import report
    from bridge.store import StatusReader

    if watch and (as_json or why):
        other = "--why" if why else "--json"
        raise click.UsageError(f"--watch is for people; ask for {other} again and again.", ctx)
    bridge = _bridge(ctx)
    bridge.app.loader.import_default_modules()
    bridge.app.finalize()
    reader = StatusReader(bridge.settings)
    if why:
        ctx.exit(_say_why(why, bridge, reader, as_json=as_json))

    def read() -> report.Overview:
        return report.Overview.of(reader.read(list(bridge.registry)), bridge.registry)

    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            report.watch_status(read)
        return
    overview = read()
    if as_json:
        click.echo(json.dumps(overview.as_json(), indent=2))
    else:
        report.show_status(overview)
    ctx.exit(1 if overview.needs_attention else 0)


def _say_why(name: str, bridge: Installation, reader: StatusReader, *, as_json: bool) -> int:
    """Answer ``--why``; the exit status."""
    from bridge import report
    from bridge.names import parse_arn
    from bridge.stepfunctions import Places

    activity = bridge.registry.get(name)
    if activity is None:
        known = ", ".join(bridge.registry) or "none"
        raise click.UsageError(f"No task of this app has the activity {name}. Known: {known}.")
    # One that is registered by its name is where the process is: no region has to be known here.
    place = str(Places(bridge.settings.roles).of(name)) if parse_arn(name) else ""

    def ask() -> report.Answer:
        room = reader.room(name, activity.queue, place)
        return report.explain(activity, reader.read([name]), room, bridge.settings)

    answer = report.settled(ask)
    if as_json:
        click.echo(json.dumps(answer.as_json(), indent=2))
    else:
        report.show_answer(answer)
    return 1 if answer.attention else 0


# Where Celery's own cannot be replaced; elsewhere the same command under a second name.
bridge_status = BridgeCommand(
    "bridge-status",
    callback=status.callback,
    params=status.params,
    help=status.help,
    hidden=enabled("status command"),
)


@click.command(cls=BridgeCommand)
@JSON
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check a deployment: credentials, activities, Redis, broker, workers, beat. Changes nothing.

    Run it where the poller runs, with its settings. Exit status 1 for a warning or a failure.
    """
    from bridge import doctor as checks
    from bridge import report

    findings = list(checks.examine(_bridge(ctx)))
    if as_json:
        click.echo(json.dumps([finding.as_json() for finding in findings], indent=2))
    else:
        report.show_findings(findings)
    ctx.exit(0 if all(finding.level is checks.Level.OK for finding in findings) else 1)


class _Status(CeleryCommand):  # type: ignore[misc]
    """Celery's own ``status``; of an app with the bridge, the bridge's.

    Celery adds its commands after the plugins', so one of the same name would lose.
    """

    def get_short_help_str(self, limit: int = 45) -> str:
        """Ours: ``celery --help`` is answered before the app is loaded."""
        ours: str = status.get_short_help_str(limit)
        return ours

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        if parent is not None and hasattr(parent.obj.app, "bridge"):
            ours: click.Context = status.make_context(info_name, args, parent, **extra)
            return ours
        celerys: click.Context = super().make_context(info_name, args, parent, **extra)
        return celerys


if enabled("status command"):
    celery_status.__class__ = _Status


@click.group()
def activities() -> None:
    """Activities at Step Functions."""


@activities.command("create", cls=BridgeCommand)
@click.argument("names", nargs=-1)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="KEY=VALUE",
    cls=CeleryOption,
    help="Tag of those that are created; may be repeated.",
)
@click.option(
    "--kms-key-id", cls=CeleryOption, help="Encrypt those that are created with this KMS key."
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
    """Create activities: NAMES, or all registered ones. Those that exist stay as they are."""
    from pydantic import ValidationError

    from bridge import report
    from bridge.errors import SettingsError
    from bridge.names import ActivityAttributes, Encryption, check_activity, parse_arn
    from bridge.stepfunctions import Places, create_activity

    bridge = _bridge(ctx)
    places = Places(bridge.settings.roles)
    wanted = [check_activity(name) for name in names] or list(bridge.load_tasks())
    if wrong := [tag for tag in tags if "=" not in tag]:
        raise click.UsageError(f"--tag {wrong[0]!r} is no KEY=VALUE.", ctx)
    try:
        key = kms_key_id and Encryption(type="CUSTOMER_MANAGED_KMS_KEY", kms_key_id=kms_key_id)
        made = {
            activity: ActivityAttributes(
                name=activity,
                tags=dict(tag.split("=", 1) for tag in tags),
                encryption=key or None,
            )
            for activity in wanted
        }
    except ValidationError as exc:
        raise click.UsageError("; ".join(str(each["msg"]) for each in exc.errors()), ctx) from None

    def create_one(activity: str) -> str:
        there = places.connection(places.of(activity))
        arn = create_activity(made[activity], there)
        if parse_arn(activity) and arn != activity:
            raise SettingsError(
                f"{activity} is in an account that no credentials here belong to: {arn} has been "
                "created instead. Name a role of that account in BRIDGE_ROLES."
            )
        return arn

    arns, failures = _for_each(made, create_one)
    if as_json:
        click.echo(json.dumps(arns, indent=2))
    elif arns:
        report.show_activities(arns)
    _raise_all(failures)


@activities.command("list", cls=BridgeCommand)
@JSON
def list_(as_json: bool) -> None:
    """List the activities that Step Functions knows in this account and region."""
    from bridge import report
    from bridge.stepfunctions import list_activities

    arns = list_activities()
    if as_json:
        click.echo(json.dumps(arns, indent=2))
    else:
        report.show_activities(arns)


@activities.command("describe", cls=BridgeCommand)
@click.argument("names", nargs=-1)
@JSON
@click.pass_context
def describe(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Describe activities: NAMES or ARNs, or all registered ones."""
    from bridge import report
    from bridge.names import check_activity
    from bridge.stepfunctions import Places, describe_activity, resolve

    bridge = _bridge(ctx)
    places = Places(bridge.settings.roles)
    wanted = [check_activity(name) for name in names] or list(bridge.load_tasks())
    arns = resolve(wanted, places)
    described, failures = _for_each(
        arns, lambda each: describe_activity(arns[each], places.connection(places.of(each)))
    )
    found = list(described.values())
    if as_json:
        click.echo(json.dumps([report.activity_as_json(each) for each in found], indent=2))
    elif found:
        report.show_descriptions(found)
    _raise_all(failures)


@activities.command("delete", cls=BridgeCommand)
@click.argument("names", nargs=-1, required=True)
@click.option("--yes", is_flag=True, cls=CeleryOption, help="Do not ask.")
@JSON
@click.pass_context
def delete(ctx: click.Context, names: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Delete activities, by name or ARN. Executions that wait for them never end by themselves."""
    from bridge.names import check_activity
    from bridge.stepfunctions import Places, delete_activity, resolve

    places = Places(_bridge(ctx).settings.roles)
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


@click.command(cls=BridgeCommand)
@click.option(
    "--port",
    default=8083,
    show_default=True,
    cls=CeleryOption,
    help="Port of Step Functions on 127.0.0.1; 0 takes a free one.",
)
@click.option(
    "--valkey-port",
    type=int,
    cls=CeleryOption,
    help="Also start Valkey, on this port; 0 takes a free one.",
)
@click.option(
    "--valkey-dir",
    type=click.Path(file_okay=False),
    cls=CeleryOption,
    help="Keep Valkey's data here (append-only file).",
)
@click.option(
    "--hold-s",
    default=60.0,
    show_default=True,
    cls=CeleryOption,
    help="How long a poll without a task is held; 60 s at AWS.",
)
@JSON
def local(
    port: int, valkey_port: int | None, valkey_dir: str | None, hold_s: float, as_json: bool
) -> None:
    """Run Step Functions (and Valkey) on this machine, for development and tests."""
    from bridge.local.run import run_local

    run_local(
        port=port, valkey_port=valkey_port, valkey_dir=valkey_dir, hold_s=hold_s, as_json=as_json
    )


@click.command(cls=BridgeCommand)
@click.option(
    "--executions",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    cls=CeleryOption,
    help="Executions to start.",
)
@click.option(
    "--keep", is_flag=True, cls=CeleryOption, help="Leave everything running until Ctrl-C."
)
@JSON
@click.pass_context
def demo(ctx: click.Context, executions: int, keep: bool, as_json: bool) -> None:
    """Run the example pipeline on local parts: Step Functions, Valkey, and the whole Procfile."""
    from bridge.local.demo import run_demo

    ctx.exit(run_demo(executions=executions, keep=keep, as_json=as_json))
