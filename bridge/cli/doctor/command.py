"""The command ``doctor``: run the checks and print their results."""

from __future__ import annotations

import json

import click

from bridge.cli.base import JSON, BridgeCommand, installation_of


@click.command(cls=BridgeCommand)
@JSON
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check a deployment: credentials, activities, Redis, broker, workers, beat. Changes nothing.

    Run it where the poller runs, with the poller's settings. The exit status is 1 if any check
    warns or fails.
    """
    from bridge.cli.doctor.checks import examine
    from bridge.cli.doctor.result import Level
    from bridge.cli.doctor.table import show_results

    results = list(examine(installation_of(ctx)))
    if as_json:
        click.echo(json.dumps([result.as_json() for result in results], indent=2))
    else:
        show_results(results)
    ctx.exit(0 if all(result.level is Level.OK for result in results) else 1)
