"""The command ``status``: parse its options, read the claim store, print.

Celery has a command of this name too. For apps with the bridge this one takes its place.
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
@click.option(
    "--watch", is_flag=True, cls=CeleryOption, help="Refresh the status each second until Ctrl-C."
)
@click.option(
    "--why",
    metavar="ACTIVITY",
    cls=CeleryOption,
    help="Explain why the bridge claims nothing more of this activity.",
)
@click.pass_context
def status(ctx: click.Context, as_json: bool, watch: bool, why: str | None) -> None:
    """Show each activity's claims and polls, and what occupies the workers' slots."""
    from bridge.cli.status.overview import Overview
    from bridge.cli.status.screen import show_status, watch_status
    from bridge.store import StatusReader

    if watch and (as_json or why):
        other = "--why" if why else "--json"
        raise click.UsageError(f"--watch cannot be combined with {other}.", ctx)
    bridge = installation_of(ctx)
    bridge.app.loader.import_default_modules()
    bridge.app.finalize()
    reader = StatusReader(bridge.settings)
    if why:
        ctx.exit(_explain(why, bridge, reader, as_json=as_json))

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


def _explain(name: str, bridge: Installation, reader: StatusReader, *, as_json: bool) -> int:
    """Print the answer to ``--why``; returns the exit status."""
    from bridge.cli.status.why.answer import Answer, settled, show_answer
    from bridge.cli.status.why.facts import Facts
    from bridge.names import parse_arn
    from bridge.stepfunctions import Places

    activity = bridge.registry.get(name)
    if activity is None:
        known = ", ".join(bridge.registry) or "none"
        raise click.UsageError(f"No task of this app has the activity {name}. Known: {known}.")
    # An activity with a plain name is in this process's region, which need not be known here.
    place = str(Places(bridge.settings.roles).of(name)) if parse_arn(name) else ""

    def ask() -> Answer:
        room = reader.room(name, activity.queue, place)
        return Answer.of(Facts.gather(activity, reader.read([name]), room, bridge.settings))

    answer = settled(ask)
    if as_json:
        click.echo(json.dumps(answer.as_json(), indent=2))
    else:
        show_answer(answer)
    return 1 if answer.attention else 0


# The same command under a second name, for where Celery's own cannot be replaced; hidden elsewhere.
bridge_status = BridgeCommand(
    "bridge-status",
    callback=status.callback,
    params=status.params,
    help=status.help,
    hidden=enabled("status command"),
)


class StatusOfEitherApp(CeleryCommand):  # type: ignore[misc]
    """Celery's command ``status``, which runs the bridge's for an app with the bridge.

    An entry point of that name would not help: Celery adds its own commands after the entry points'
    and so overwrites them.
    """

    def get_short_help_str(self, limit: int = 45) -> str:
        """The bridge's help, because ``celery --help`` is answered before the app is loaded."""
        ours: str = status.get_short_help_str(limit)
        return ours

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Choose the command by the app."""
        if parent is not None and hasattr(parent.obj.app, "bridge"):
            ours: click.Context = status.make_context(info_name, args, parent, **extra)
            return ours
        celerys: click.Context = super().make_context(info_name, args, parent, **extra)
        return celerys


if enabled("status command"):
    celery_status.__class__ = StatusOfEitherApp
