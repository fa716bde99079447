"""``celery -A bridge poll``: poller, reporter and stand-in, from start to drained."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping
from contextlib import suppress

from bridge.app_state import Installation, process_name
from bridge.errors import SettingsError, StoreUnavailable
from bridge.loops.dispatcher import Dispatcher
from bridge.loops.poller import Poller, UnfinishedWork
from bridge.loops.reporter import Reporter
from bridge.metrics.instruments import Instruments
from bridge.processes.beat_stand_in import BeatStandIn
from bridge.settings import Settings
from bridge.stepfunctions import Clients, Places
from bridge.store import ClaimStore, check_schema
from bridge.support.gc_tuning import spare_collections
from bridge.versions import log_off

logger = logging.getLogger(__name__)


async def serve(
    bridge: Installation, arns: Mapping[str, str], places: Places
) -> UnfinishedWork | None:
    """Poll and report until SIGTERM or SIGINT, then drain.

    Args:
        arns: Activity as registered → ARN.
        places: Where those are.

    Returns:
        None when drained; after a second signal, what is left behind.
    """
    if bridge.app.conf.task_always_eager:
        raise SettingsError(
            "task_always_eager is on: jobs would run inside the poller. Turn it off."
        )
    refuse_twins(arns)
    await asyncio.to_thread(refuse_other_schema, bridge.settings)
    settings, dispatcher, name = bridge.settings, Dispatcher(bridge), process_name()
    instruments = Instruments(bridge)
    instruments.bind()
    meters = instruments.meters
    store = ClaimStore(settings)
    clients = Clients(places, on_throttled=meters.throttled)

    poller = Poller(
        registry=bridge.registry,
        arns=arns,
        clients=clients,
        store=store,
        dispatcher=dispatcher,
        settings=settings,
        name=name,
        meters=meters,
    )
    reporter = Reporter(
        clients=clients,
        store=store,
        concurrent_calls=settings.concurrent_calls,
        on_unfinished=dispatcher.revoke_soon,
        on_closing=poller.wake,
        meters=meters,
    )
    stand_in = BeatStandIn(
        bridge=bridge, clients=clients, store=store, dispatcher=dispatcher, meters=meters
    )

    at_once = asyncio.Event()
    signals_seen = 0

    def on_signal(number: int) -> None:
        nonlocal signals_seen
        signals_seen += 1
        if signals_seen == 1:
            logger.warning(
                "%s: draining; open polls return within a minute. A second signal ends at once.",
                signal.Signals(number).name,
            )
            poller.drain()
        else:
            at_once.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)

    instruments.serve()
    spare_collections()
    log_off(logger)
    logger.info("poller %s serves %s", name, ", ".join(arns))
    polling = asyncio.create_task(poller.run())
    reporting = asyncio.create_task(reporter.run())
    standing_in = asyncio.create_task(stand_in.run())
    cut_short = asyncio.create_task(at_once.wait())
    try:
        await asyncio.wait({polling, cut_short}, return_when=asyncio.FIRST_COMPLETED)
        if at_once.is_set():
            return poller.unfinished_work()
        await polling
        reporter.stop()
        stand_in.stop()
        for finishing in (reporting, standing_in):
            await asyncio.wait({finishing, cut_short}, return_when=asyncio.FIRST_COMPLETED)
        logger.info("poller %s is drained", name)
        return None
    finally:
        await end_tasks()
        await clients.close()
        await store.close()


def refuse_other_schema(settings: Settings) -> None:
    """Begin nothing in a store that another version of the bridge uses.

    A store that is away is looked at later, by the scripts.

    Raises:
        SchemaMismatch: Another version uses it.
    """
    with suppress(StoreUnavailable):
        check_schema(settings)


def refuse_twins(arns: Mapping[str, str]) -> None:
    """One activity under two names, its own and its ARN, would have two tasks."""
    by_arn: dict[str, str] = {}
    for activity, arn in arns.items():
        if arn in by_arn:
            raise SettingsError(
                f"{by_arn[arn]!r} and {activity!r} are the same activity, {arn}: which task should "
                "run its claims? Keep one of them."
            )
        by_arn[arn] = activity


async def end_tasks() -> None:
    """Cancel every other task of this loop, until they have ended.

    Again and again, for a cancellation can get lost: before Python 3.12 asyncio.wait_for, which
    redis-py waits with, drops one that comes in the moment of its answer.
    """
    while pending := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.1)
