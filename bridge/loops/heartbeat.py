"""Keep the tokens alive that somebody works for: one pass of the periodic beat task.

The store says which tokens are due and may be beaten (invariant 4) and takes them in the same
step, so that several passes at once, or several beats, never double a call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from bridge.errors import BridgeError, StoreUnavailable, TokenClosed
from bridge.metrics import OFF, Meters
from bridge.stepfunctions import Clients
from bridge.store import ClaimStore, DueHeartbeat, Unfinished
from bridge.support.backoff import HEARTBEAT_AGAIN

logger = logging.getLogger(__name__)

BATCH = 200


@dataclass(slots=True)
class Pass:
    """What one pass did."""

    sent: int = 0
    closed: int = 0
    failed: int = 0


async def beat_due(
    *,
    clients: Clients,
    store: ClaimStore,
    concurrent_calls: int,
    on_unfinished: Callable[[Unfinished], None],
    meters: Meters = OFF,
) -> Pass:
    """Send the heartbeats that are due.

    Args:
        concurrent_calls: Calls at once, at most.
        on_unfinished: Called with each job whose token turns out to be closed.

    Raises:
        StoreUnavailable: Redis does not answer; the next pass finds what is due.
    """
    done = Pass()
    permits = asyncio.Semaphore(concurrent_calls)

    async def beat(due: DueHeartbeat) -> None:
        async with permits:
            try:
                await clients.of(due.activity).send_task_heartbeat(
                    due.token, urgency=due.urgency_ms
                )
            except TokenClosed as exc:
                done.closed += 1
                meters.beat(due.activity, "closed")
                logger.info("claim %s is closed: %s", due.claim_id, exc.code)
                await close(due, exc.code)
            except Exception as exc:
                done.failed += 1
                meters.beat(due.activity, "failed")
                if isinstance(exc, BridgeError):
                    logger.warning("heartbeat of claim %s failed: %s", due.claim_id, exc)
                else:
                    logger.exception("heartbeat of claim %s failed", due.claim_id)
                await store.retry_heartbeat(due, due.interval_s * HEARTBEAT_AGAIN)
            else:
                done.sent += 1
                meters.beat(due.activity, "sent")

    async def close(due: DueHeartbeat, code: str) -> None:
        closed = await store.close_claims([due.claim_id], reason=code)
        for ended in closed.ended:
            meters.reported(ended, ended.error, taken=False)
        for unfinished in closed.unfinished:
            on_unfinished(unfinished)

    while True:
        due = await store.take_heartbeats(BATCH)
        for unfinished in due.given_up:
            logger.warning(
                "claim %s failed: no worker holds it and its patience is over, or its manual "
                "heartbeats have stopped",
                unfinished.job.claim_id,
            )
            meters.recovered(unfinished.activity, "given_up")
            on_unfinished(unfinished)
        results = await asyncio.gather(*(beat(b) for b in due.heartbeats), return_exceptions=True)
        away = None
        for result in results:  # of one heartbeat each; what went wrong with one stops no other
            if isinstance(result, StoreUnavailable):
                away = result
            elif isinstance(result, BaseException):
                logger.error("a heartbeat could not be noted", exc_info=result)
        if away is not None:
            raise away
        await store.hold_polls(clients.throttled)  # more claims would be lost
        if due.looked < BATCH:
            return done
