"""Send the heartbeats that are due: one pass, which a tick of the beat process starts.

The store says which tokens are due and may be kept alive: those whose job a worker runs, whose job
may still wait for a worker, or whose report waits. In the same step it sets their next heartbeats,
so that several passes at once, or several beat processes, never send a heartbeat twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bridge.errors import BridgeError, StoreUnavailable, TokenClosed
from bridge.metrics import OFF, Meters
from bridge.stepfunctions import Clients
from bridge.store import ClaimStore, DueHeartbeat, UnfinishedJob
from bridge.support.backoff import HEARTBEAT_AGAIN

logger = logging.getLogger(__name__)

BATCH = 200


@dataclass(slots=True)
class HeartbeatCounts:
    """What one pass did.

    Attributes:
        sent: Heartbeats that Step Functions took.
        closed: Heartbeats whose token turned out to be closed.
        failed: Heartbeats that are due again soon.
    """

    sent: int = 0
    closed: int = 0
    failed: int = 0


async def send_due_heartbeats(
    *,
    clients: Clients,
    store: ClaimStore,
    concurrent_calls: int,
    on_unfinished: Callable[[UnfinishedJob], None],
    meters: Meters = OFF,
) -> HeartbeatCounts:
    """Send the heartbeats that are due.

    Args:
        concurrent_calls: The most calls that are under way at the same time.
        on_unfinished: Called with each job whose claim has ended before it.

    Raises:
        StoreUnavailable: Redis does not answer; the next pass finds what is due.
    """
    heartbeats = _HeartbeatPass(
        clients=clients,
        store=store,
        concurrent_calls=concurrent_calls,
        on_unfinished=on_unfinished,
        meters=meters,
    )
    while True:
        due = await store.take_heartbeats(BATCH)
        heartbeats.note_failed_claims(due.given_up)
        await heartbeats.send_all(due.heartbeats)
        await store.hold_polls(clients.throttled)  # more claims would be lost
        if due.looked < BATCH:
            return heartbeats.counts


class _HeartbeatPass:
    """The heartbeats of one pass."""

    def __init__(
        self,
        *,
        clients: Clients,
        store: ClaimStore,
        concurrent_calls: int,
        on_unfinished: Callable[[UnfinishedJob], None],
        meters: Meters,
    ) -> None:
        self.counts = HeartbeatCounts()
        self._clients = clients
        self._store = store
        self._permits = asyncio.Semaphore(concurrent_calls)
        self._on_unfinished = on_unfinished
        self._meters = meters

    def note_failed_claims(self, failed: Iterable[UnfinishedJob]) -> None:
        """Log and count the claims that the store has failed instead of offering their tokens."""
        for unfinished in failed:
            logger.warning(
                "claim %s failed: no worker holds it and its patience is over, or its manual "
                "heartbeats have stopped",
                unfinished.job.claim_id,
            )
            self._meters.recovered(unfinished.activity, "given_up")
            self._on_unfinished(unfinished)

    async def send_all(self, heartbeats: Iterable[DueHeartbeat]) -> None:
        """Send each of these; an error of one stops no other.

        Raises:
            StoreUnavailable: Redis did not take the result of one.
        """
        sending = [self._send(heartbeat) for heartbeat in heartbeats]
        away = None
        for result in await asyncio.gather(*sending, return_exceptions=True):
            if isinstance(result, StoreUnavailable):
                away = result
            elif isinstance(result, BaseException):
                logger.error("the result of a heartbeat could not be stored", exc_info=result)
        if away is not None:
            raise away

    async def _send(self, heartbeat: DueHeartbeat) -> None:
        activity, claim_id = heartbeat.activity, heartbeat.claim_id
        async with self._permits:
            try:
                await self._clients.of(activity).send_task_heartbeat(
                    heartbeat.token, urgency=heartbeat.urgency_ms
                )
            except TokenClosed as exc:
                self.counts.closed += 1
                self._meters.heartbeat(activity, "closed")
                logger.info("claim %s is closed: %s", claim_id, exc.code)
                await self._close(claim_id, exc.code)
            except Exception as exc:
                self.counts.failed += 1
                self._meters.heartbeat(activity, "failed")
                if isinstance(exc, BridgeError):
                    logger.warning("heartbeat of claim %s failed: %s", claim_id, exc)
                else:
                    logger.exception("heartbeat of claim %s failed", claim_id)
                await self._store.retry_heartbeat(heartbeat, heartbeat.interval_s * HEARTBEAT_AGAIN)
            else:
                self.counts.sent += 1
                self._meters.heartbeat(activity, "sent")

    async def _close(self, claim_id: str, code: str) -> None:
        closed = await self._store.close_claims([claim_id], reason=code)
        for ended in closed.ended:
            self._meters.reported(ended, ended.error, taken=False)
        for unfinished in closed.unfinished:
            self._on_unfinished(unfinished)
