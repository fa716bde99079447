"""``celery -A bridge poll``: poller, reporter and stand-in for beat, from start to drained."""

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
        places: Region and account of each of these.

    Returns:
        None when drained; after a second signal, what is left behind.

    Raises:
        SettingsError: Jobs would run in the poller, two names are one activity, or another version
            of the bridge uses the claim store.
    """
    if bridge.app.conf.task_always_eager:
        raise SettingsError(
            "task_always_eager is on: jobs would run inside the poller. Turn it off."
        )
    refuse_duplicate_activities(arns)
    await asyncio.to_thread(refuse_other_schema, bridge.settings)
    return await PollProcess(bridge, arns, places).run()


class PollProcess:
    """What one ``celery -A bridge poll`` runs: poller, reporter, and the stand-in for beat.

    Belongs to the event loop in which it is made.
    """

    def __init__(self, bridge: Installation, arns: Mapping[str, str], places: Places) -> None:
        settings, dispatcher = bridge.settings, Dispatcher(bridge)
        self._name = process_name()
        self._activities = ", ".join(arns)
        self._instruments = Instruments(bridge)
        self._instruments.bind()
        meters = self._instruments.meters
        self._store = ClaimStore(settings)
        self._clients = Clients(places, on_throttled=meters.throttled)
        self._poller = Poller(
            registry=bridge.registry,
            arns=arns,
            clients=self._clients,
            store=self._store,
            dispatcher=dispatcher,
            settings=settings,
            name=self._name,
            meters=meters,
        )
        self._reporter = Reporter(
            clients=self._clients,
            store=self._store,
            concurrent_calls=settings.concurrent_calls,
            on_unfinished=dispatcher.revoke_soon,
            on_closing=self._poller.wake,
            meters=meters,
        )
        self._stand_in = BeatStandIn(
            bridge=bridge,
            clients=self._clients,
            store=self._store,
            dispatcher=dispatcher,
            meters=meters,
        )
        self._signals = 0
        self._ends_at_once = asyncio.Event()

    async def run(self) -> UnfinishedWork | None:
        """Run until drained, or until a second signal; then what is left behind."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        self._instruments.serve()
        spare_collections()
        log_off(logger)
        logger.info("poller %s serves %s", self._name, self._activities)
        try:
            return await self._run_parts()
        finally:
            await end_tasks()
            await self._clients.close()
            await self._store.close()

    async def _run_parts(self) -> UnfinishedWork | None:
        polling = asyncio.create_task(self._poller.run())
        reporting = asyncio.create_task(self._reporter.run())
        standing_in = asyncio.create_task(self._stand_in.run())
        cut_short = asyncio.create_task(self._ends_at_once.wait())
        await asyncio.wait({polling, cut_short}, return_when=asyncio.FIRST_COMPLETED)
        if self._ends_at_once.is_set():
            return self._poller.unfinished_work()
        await polling
        self._reporter.stop()
        self._stand_in.stop()
        for finishing in (reporting, standing_in):
            await asyncio.wait({finishing, cut_short}, return_when=asyncio.FIRST_COMPLETED)
        logger.info("poller %s is drained", self._name)
        return None

    def _on_signal(self, number: int) -> None:
        self._signals += 1
        if self._signals == 1:
            logger.warning(
                "%s: draining; open polls return within a minute. A second signal ends at once.",
                signal.Signals(number).name,
            )
            self._poller.drain()
        else:
            self._ends_at_once.set()


def refuse_other_schema(settings: Settings) -> None:
    """Refuse to start with a store that another version of the bridge uses.

    If the store does not answer now, its scripts check this later.

    Raises:
        SchemaMismatch: Another version uses it.
    """
    with suppress(StoreUnavailable):
        check_schema(settings)


def refuse_duplicate_activities(arns: Mapping[str, str]) -> None:
    """Refuse an activity that is registered twice: by its name and by its ARN.

    Raises:
        SettingsError: It would have two tasks.
    """
    by_arn: dict[str, str] = {}
    for activity, arn in arns.items():
        if arn in by_arn:
            raise SettingsError(
                f"{by_arn[arn]!r} and {activity!r} are the same activity, {arn}: which task should "
                "run its claims? Keep one of them."
            )
        by_arn[arn] = activity


async def end_tasks() -> None:
    """Cancel every other task of this loop, again and again until all have ended.

    A cancellation can get lost: before Python 3.12 ``asyncio.wait_for``,
    with which redis-py waits, drops one that arrives together with the answer.
    """
    while pending := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.1)
