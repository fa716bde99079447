"""A poller takes over the passes of a beat process that is away, and hands them back."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace

from bridge.processes.beat_stand_in import BeatStandIn
from bridge.store import ClaimStore, PassKind
from tests.integration.loops.fakes import FaultyClient, FaultyDispatcher

TICK_S = 0.2


class EarlyBeat(ClaimStore):
    """A store with a beat process whose passes begin early in the ticks of the stand-in."""

    def __init__(self, settings):
        super().__init__(settings)
        self.at_work = False
        self.passes = []

    async def is_overdue(self, kind, after_s, *, of_beat=False):
        answer = await super().is_overdue(kind, after_s, of_beat=of_beat)
        if self.at_work:
            self.passes.append(asyncio.create_task(self.begin(kind)))
        return answer

    async def begin(self, kind):
        await asyncio.sleep(TICK_S / 4)
        await self.note_beat_pass(kind)
        await (self.take_heartbeats(1) if kind is PassKind.HEARTBEAT else self.find_lost(1))


class TestBeatStandIn:
    def test_it_stops_at_whatever_moment_of_its_ticks_beat_begins(self, store, caplog):
        """From the time of the last pass alone it could not tell beat's passes from its own."""
        caplog.set_level(logging.INFO)
        settings = store.settings.model_copy(update={"tick_s": TICK_S})

        async def main():
            claims = EarlyBeat(settings)
            stand_in = BeatStandIn(
                bridge=SimpleNamespace(settings=settings, jobs=store.jobs),
                clients=FaultyClient(),
                store=claims,
                dispatcher=FaultyDispatcher(),
            )
            running = asyncio.create_task(stand_in.run())
            async with asyncio.timeout(15):
                while caplog.text.count("it is done here") < len(PassKind):
                    await asyncio.sleep(0.01)
                claims.at_work = True
                while caplog.text.count("no longer stands in for it") < len(PassKind):
                    await asyncio.sleep(0.01)
                passes = len(claims.passes)
                while len(claims.passes) < passes + 10:
                    await asyncio.sleep(0.01)
            stand_in.stop()
            await running
            await asyncio.gather(*claims.passes)
            await claims.close()

        store.run(main())
        assert caplog.text.count("it is done here") == len(PassKind), "it took over again"
