"""``celery -A bridge status``: parse its options, read the store, print.

Celery has a command of this name too. It is replaced for apps with the bridge.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import click
from celery.bin.base import CeleryCommand, CeleryOption
from celery.bin.control import status as celery_status

from bridge.cli.base import JSON, BridgeCommand, installation_of
from bridge.versions import enabled

if TYPE_CHECKING:
    from bridge.app_state import Installation
    from bridge.store import StatusReader


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
    from bridge.cli.status.overview import Overview
    from bridge.cli.status.screen import show_status, watch_status
    from bridge.store import StatusReader

    if watch and (as_json or why):
        other = "--why" if why else "--json"
        raise click.UsageError(f"--watch is for people; ask for {other} again and again.", ctx)
    bridge = installation_of(ctx)
    bridge.app.loader.import_default_modules()
    bridge.app.finalize()
    reader = StatusReader(bridge.settings)
    if why:
        ctx.exit(_say_why(why, bridge, reader, as_json=as_json))

    def read() -> Overview:
        return Overview.of(reader.read(list(bridge.registry)), bridge.registry)

    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            watch_status(read)
        return
    overview = read()
    if as_json:
        click.echo(json.dumps(overview.as_json(), indent=2))
    else:
        show_status(overview)
    ctx.exit(1 if overview.needs_attention else 0)


def _say_why(name: str, bridge: Installation, reader: StatusReader, *, as_json: bool) -> int:
    """Answer ``--why``; the exit status."""
    from bridge.cli.status.why.answer import Answer, settled, show_answer
    from bridge.cli.status.why.reasons import explain
    from bridge.names import parse_arn
    from bridge.stepfunctions import Places

    activity = bridge.registry.get(name)
    if activity is None:
        known = ", ".join(bridge.registry) or "none"
        raise click.UsageError(f"No task of this app has the activity {name}. Known: {known}.")
    # One that is registered by its name is where the process is: no region has to be known here.
    place = str(Places(bridge.settings.roles).of(name)) if parse_arn(name) else ""

    def ask() -> Answer:
        room = reader.room(name, activity.queue, place)
        return explain(activity, reader.read([name]), room, bridge.settings)

    answer = settled(ask)
    if as_json:
        click.echo(json.dumps(answer.as_json(), indent=2))
    else:
        show_answer(answer)
    return 1 if answer.attention else 0


# Where Celery's own cannot be replaced; elsewhere the same command under a second name.
bridge_status = BridgeCommand(
    "bridge-status",
    callback=status.callback,
    params=status.params,
    help=status.help,
    hidden=enabled("status command"),
)


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
