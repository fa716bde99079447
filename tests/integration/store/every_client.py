"""Call the store through each of its clients."""

from __future__ import annotations

import asyncio

from bridge.settings import Settings
from bridge.store import ClaimStore, JobStore, PassKind, StatusReader, describe_server
from bridge.store.health import read_signs


def check_every_client(settings: Settings) -> None:
    """Check that every client of the store gets answers, and from the same store."""
    jobs = JobStore(settings)
    jobs.renew_lease("w1", number=1, slots=3, queues=["celery"])
    jobs.close()
    reader = StatusReader(settings)
    assert [worker.slots for worker in reader.read([]).workers] == [3]
    reader.close()
    assert list(read_signs(settings, timeout_s=5).workers) == ["w1"]
    assert describe_server(settings).version

    async def poll():
        claims = ClaimStore(settings)
        try:
            await claims.note_beat_pass(PassKind.HEARTBEAT)
            assert not await claims.is_overdue(PassKind.HEARTBEAT, 60, of_beat=True)
            assert not await claims.wait_for_outcome(0.01)
        finally:
            await claims.close()

    asyncio.run(poll())
