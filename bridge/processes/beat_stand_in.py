"""Do the beat process's work while it is away: heartbeats and recovery, by the same functions.

Nothing is decided here about who is in charge: the store hands every token and every lost claim to
one taker, so that several at once are harmless. So the poller's process looks once a tick whether
anybody has begun a pass lately, and begins one when nobody has.
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
"""A pass that nobody has begun for so many ticks is begun here."""
MAX_PASSES = 4
"""Of one kind at once: while Step Functions hangs, those that come due meanwhile must not wait."""


class BeatStandIn:
    """Takes over what is overdue, until ``stop``."""

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
        self._most = {PassKind.HEARTBEAT: MAX_PASSES, PassKind.RECOVERY: 1}
        self._running: dict[PassKind, set[asyncio.Task[None]]] = {kind: set() for kind in PassKind}
        self._in_charge: set[PassKind] = set()
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Look once a tick."""
        while not self._stopped.is_set():
            await self._watch_clock()
            for kind in PassKind:
                await self._look(kind)
            await _wait(self._stopped, self._tick_s)
        for running in self._running.values():
            if running:
                await asyncio.wait(running)

    def stop(self) -> None:
        """Begin no more passes; those that are on are finished."""
        self._stopped.set()

    async def _watch_clock(self) -> None:
        try:
            await self._store.watch_clock()
        except StoreUnavailable as exc:
            logger.debug("the clock of Redis is not watched: %s", exc)  # _look says it
        except Exception:
            logger.exception("the clock of Redis is not watched; it is looked at again")

    async def _look(self, kind: PassKind) -> None:
        running = self._running[kind]
        if len(running) >= self._most[kind]:
            return
        in_charge = kind in self._in_charge
        absence_s = TICKS * self._tick_s
        try:
            # Who is in charge looks for beat's passes alone: from its own it could not tell them.
            if in_charge and not await self._store.is_overdue(kind, absence_s, of_beat=True):
                logger.info("passes of %s are begun elsewhere again", kind)
                self._in_charge.discard(kind)
                return
            # Of several who stand in, the others do nothing once one has just begun.
            after_s = self._tick_s / 2 if in_charge else absence_s
            overdue = await self._store.is_overdue(kind, after_s)
        except StoreUnavailable as exc:
            logger.warning("whether %s is overdue is not known: %s", kind, exc)
            return
        except Exception:
            logger.exception("whether %s is overdue is not known; asked again", kind)
            return
        if overdue and not in_charge:
            logger.warning("no beat process has begun a pass of %s lately: it is done here", kind)
            self._in_charge.add(kind)
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
            logger.exception("a pass of %s failed; the next follows", kind)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Until the event is set, or the time is over."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
