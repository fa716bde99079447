"""``celery -A bridge poll``: claim activity tasks, enqueue them, report their outcomes."""

from __future__ import annotations

import logging

import click
from celery.bin.base import LOG_LEVEL, CeleryOption

from bridge.cli.base import BridgeCommand, installation_of


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

    bridge = installation_of(ctx)
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
