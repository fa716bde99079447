"""Run the passes of heartbeat and recovery in the poller's process while no beat process does.

Once in each tick interval the stand-in asks the store whether a pass has begun lately, in any
process, and begins one if not. Processes need not agree on which of them does it: the store gives
each token and each lost claim to one of them, so several passes at once are harmless.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bridge.app_state import Installation
from bridge.errors import StoreUnavailable
from bridge.loops import heartbeat, recovery
from bridge.loops.dispatcher import Dispatcher
from bridge.metrics import OFF, Meters
from bridge.stepfunctions import Clients
from bridge.store import ClaimStore, PassKind

logger = logging.getLogger(__name__)

TICKS = 2
"""If no process has begun a pass for this many tick intervals, the stand-in begins one."""
MAX_PASSES = 4
"""The most heartbeat passes that run at the same time. Several, so that heartbeats that become due
while Step Functions hangs do not wait for a pass that hangs."""


class BeatStandIn:
    """Begins passes that are overdue, until ``stop``."""

    def __init__(
        self,
        *,
        bridge: Installation,
        clients: Clients,
        store: ClaimStore,
        dispatcher: Dispatcher,
        meters: Meters = OFF,
    ) -> None:
        self._tick_s = bridge.settings.tick_s
        self._store = store
        self._work: dict[PassKind, Callable[[], Awaitable[object]]] = {
            PassKind.HEARTBEAT: lambda: heartbeat.send_due_heartbeats(
                clients=clients,
                store=store,
                on_unfinished=dispatcher.revoke_soon,
                concurrent_calls=bridge.settings.concurrent_calls,
                meters=meters,
            ),
            PassKind.RECOVERY: lambda: recovery.recover(
                store=store, jobs=bridge.jobs, dispatcher=dispatcher, meters=meters
            ),
        }
        self._max_passes = {PassKind.HEARTBEAT: MAX_PASSES, PassKind.RECOVERY: 1}
        self._running: dict[PassKind, set[asyncio.Task[None]]] = {kind: set() for kind in PassKind}
        self._at_work: set[PassKind] = set()
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Begin what is overdue, once in each tick interval."""
        while not self._stopped.is_set():
            await self._watch_clock()
            for kind in PassKind:
                await self._begin_if_overdue(kind)
            await _wait(self._stopped, self._tick_s)
        for running in self._running.values():
            if running:
                await asyncio.wait(running)

    def stop(self) -> None:
        """Begin no more passes, and let those that run go on to their end."""
        self._stopped.set()

    async def _watch_clock(self) -> None:
        try:
            await self._store.watch_clock()
        except StoreUnavailable as exc:
            # _begin_if_overdue warns
            logger.debug("the clock of Redis could not be read: %s", exc)
        except Exception:
            logger.exception(
                "the clock of Redis could not be read; it is read again in the next tick interval"
            )

    async def _begin_if_overdue(self, kind: PassKind) -> None:
        running = self._running[kind]
        if len(running) >= self._max_passes[kind]:
            return
        at_work = kind in self._at_work
        absence_s = TICKS * self._tick_s
        try:
            # A stand-in at work asks for passes of beat processes only, or it would find its own.
            if at_work and not await self._store.is_overdue(kind, absence_s, of_beat=True):
                logger.info(
                    "a beat process begins passes of %s again; this poller no longer stands in for "
                    "it",
                    kind,
                )
                self._at_work.discard(kind)
                return
            # If another stand-in has begun a pass in this tick interval, this one does not.
            after_s = self._tick_s / 2 if at_work else absence_s
            overdue = await self._store.is_overdue(kind, after_s)
        except StoreUnavailable as exc:
            logger.warning("it is not known whether a pass of %s is overdue: %s", kind, exc)
            return
        except Exception:
            logger.exception(
                "it is not known whether a pass of %s is overdue; the store is asked again in the "
                "next tick interval",
                kind,
            )
            return
        if overdue and not at_work:
            logger.warning("no beat process has begun a pass of %s lately: it is done here", kind)
            self._at_work.add(kind)
        if overdue:
            task = asyncio.create_task(self._pass(kind))
            running.add(task)
            task.add_done_callback(running.discard)

    async def _pass(self, kind: PassKind) -> None:
        try:
            await self._work[kind]()
        except StoreUnavailable as exc:
            logger.warning("a pass of %s is cut short: %s", kind, exc)
        except Exception:
            logger.exception("a pass of %s failed; the next one begins when it is due", kind)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Wait until the event is set, or the time is over."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
