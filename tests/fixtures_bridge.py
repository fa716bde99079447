"""Settings and stores for tests: all share a Valkey, in which each test has its own prefix."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from bridge.loops.reporter import Reporter
from bridge.model import Claim, Job, Outcome, claim_id_of
from bridge.settings import Settings
from bridge.store import ClaimStore, JobStore, StatusReader

T = TypeVar("T")
NUMBERS = itertools.count(1)
"""The numbers of lease renewals."""
_prefixes = (f"test-{os.getpid()}-{n}" for n in itertools.count())


@pytest.fixture
def settings(valkey) -> Settings:
    """Settings with short times, and a prefix that no other test uses."""
    return Settings(
        store_url=valkey.url, store_prefix=next(_prefixes), lease_s=1, tick_s=0.1, heartbeat_s=1
    )


@pytest.fixture
def run() -> Iterator[Callable[[Coroutine[Any, Any, T]], T]]:
    """Run coroutines to their end, all on one event loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@dataclass(kw_only=True)
class Store:
    """The store's classes, called from tests that are no coroutines."""

    settings: Settings
    jobs: JobStore
    claims: ClaimStore
    reader: StatusReader
    run: Callable[[Coroutine[Any, Any, Any]], Any]

    def run_until(self, reporter: Reporter, condition: Callable[[], Any]) -> None:
        """Report until the condition holds, then stop."""

        async def main():
            running = asyncio.create_task(reporter.run())
            async with asyncio.timeout(10):
                while not condition():
                    await asyncio.sleep(0.02)
            reporter.stop()
            await running

        self.run(main())

    def store(
        self,
        claim: Claim,
        *,
        token: str = "token-1",
        queue="celery",
        interval_s=10.0,
        manual=False,
        max_attempts=1,
        poller="p1",
    ) -> bool:
        return self.run(
            self.claims.store(
                claim,
                token=token,
                queue=queue,
                interval_s=interval_s,
                manual=manual,
                max_attempts=max_attempts,
                poller=poller,
            )
        )

    def claim(
        self, token: str = "token-1", *, activity="resize", event="{}", **kwargs: Any
    ) -> Claim:
        """A new claim; see ``store`` for the other arguments."""
        claim = Claim(claim_id_of(token), activity, event)
        assert self.store(claim, token=token, **kwargs)
        return claim

    def worker(self, worker="w1", *, slots=4, queues=("celery",)) -> str:
        self.jobs.renew_lease(worker, number=next(NUMBERS), slots=slots, queues=queues)
        return worker

    def running(self, token: str = "token-1", *, worker="w1", **kwargs) -> Job:
        """A claim that worker ``w1`` runs; its job."""
        claim = self.claim(token, **kwargs)
        self.worker(worker)
        self.run(self.claims.mark_queued(claim.job))
        assert self.jobs.start(claim.job, retry=0, worker=worker, run="r1") == "run"
        return claim.job

    def settled(self, token: str = "token-1", **kwargs) -> Job:
        """A claim whose outcome is in the outbox; its job."""
        job = self.running(token, **kwargs)
        assert self.jobs.settle(job, Outcome(output="1")) == "stored"
        return job

    def status(self, activity="resize"):
        return next(
            row for row in self.reader.read([activity]).activities if row.activity == activity
        )

    def all_keys(self) -> list[str]:
        import redis

        with redis.Redis.from_url(self.settings.store_url, decode_responses=True) as client:
            return sorted(client.keys(f"{self.settings.root_key}:*"))


@pytest.fixture
def store(settings, run) -> Iterator[Store]:
    """The store's classes, with the prefix of this test."""
    jobs, reader = JobStore(settings), StatusReader(settings)

    async def make() -> ClaimStore:
        return ClaimStore(settings)

    claims = run(make())
    yield Store(settings=settings, jobs=jobs, claims=claims, reader=reader, run=run)
    jobs.close()
    reader.close()
    run(claims.close())
