"""Tasks become claims and jobs though the store or the broker is away for a while."""

from __future__ import annotations

import asyncio
import logging

from bridge.local.valkey import LocalValkey
from bridge.loops.poller import Poller
from bridge.processes.poll import end_tasks
from bridge.settings import Settings
from bridge.store import ClaimStore, JobStore
from tests.integration.loops.fakes import ARN, TASK, FaultyClient, FaultyDispatcher, polling


class TestIntake:
    def test_a_broker_that_is_away_delays_the_job_and_loses_none(self, store, registry):
        dispatcher = FaultyDispatcher(faults=2)
        polling(store, registry, FaultyClient(TASK), dispatcher, lambda: dispatcher.published)
        assert len(dispatcher.published) == 1

    def test_a_store_that_is_away_keeps_the_token_until_it_is_back(
        self, registry, tmp_path, run, caplog
    ):
        """Only the poller has the token, and keeps it until Redis takes it."""
        caplog.set_level(logging.WARNING)
        with LocalValkey(data_dir=tmp_path / "data") as valkey:
            settings = Settings(store_url=valkey.url, lease_s=30)
            jobs, dispatcher = JobStore(settings), FaultyDispatcher()
            jobs.renew_lease("w1", number=1, slots=4, queues=["celery"])

            class Client(FaultyClient):
                async def get_activity_task(self, *args, **kwargs):
                    if self.polled == 0:
                        valkey.kill()
                    return await super().get_activity_task(*args, **kwargs)

            async def main():
                claims = ClaimStore(settings)
                poller = Poller(
                    registry=registry,
                    arns={"resize": ARN},
                    clients=Client(TASK),
                    name="p1",
                    dispatcher=dispatcher,
                    store=claims,
                    settings=settings,
                )
                running = asyncio.create_task(poller.run())
                async with asyncio.timeout(30):
                    while "is not stored yet" not in caplog.text:
                        await asyncio.sleep(0.05)
                    assert len(poller.unfinished_work().unstored) == 1
                    valkey.start()
                    while not dispatcher.published:
                        await asyncio.sleep(0.05)
                assert not running.done()
                await end_tasks()
                await claims.close()

            run(main())
            jobs.close()
