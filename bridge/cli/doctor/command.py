"""``celery -A bridge doctor``: check a deployment, and print what was found."""

from __future__ import annotations

import json

import click

from bridge.cli.base import JSON, BridgeCommand, installation_of


@click.command(cls=BridgeCommand)
@JSON
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check a deployment: credentials, activities, Redis, broker, workers, beat. Changes nothing.

    Run it where the poller runs, with its settings. Exit status 1 for a warning or a failure.
    """
    from bridge.cli.doctor.checks import Level, examine
    from bridge.cli.doctor.table import show_findings

    findings = list(examine(installation_of(ctx)))
    if as_json:
        click.echo(json.dumps([finding.as_json() for finding in findings], indent=2))
    else:
        show_findings(findings)
    ctx.exit(0 if all(finding.level is Level.OK for finding in findings) else 1)
