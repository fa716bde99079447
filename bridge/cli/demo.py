"""The command ``demo``: run the example pipeline on this machine."""

from __future__ import annotations

import click
from celery.bin.base import CeleryOption

from bridge.cli.base import JSON, BridgeCommand


@click.command(cls=BridgeCommand)
@click.option(
    "--executions",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    cls=CeleryOption,
    help="Number of executions to start.",
)
@click.option(
    "--keep", is_flag=True, cls=CeleryOption, help="Leave everything running until Ctrl-C."
)
@JSON
@click.pass_context
def demo(ctx: click.Context, executions: int, keep: bool, as_json: bool) -> None:
    """Run the example pipeline with local Step Functions and Valkey, and the whole Procfile."""
    from bridge.local.demo import run_demo

    ctx.exit(run_demo(executions=executions, keep=keep, as_json=as_json))
