"""The command ``poll``: claim activity tasks, enqueue them as Celery jobs, report outcomes."""

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

    Polls are opened only while workers have room. After SIGTERM or SIGINT the poller drains: it
    waits up to a minute for its open polls to return, and enqueues the tasks that they bring. A
    second signal ends it at once.
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
            "the poller ended before it had drained. It leaves open polls: %d (each may lose the "
            "next task of its activity), claims neither stored nor dispatched: %s, claims stored "
            "but not dispatched: %s",
            left.open_polls,
            left.unstored or "none",
            left.undispatched or "none",
        )
        ctx.exit(1)
