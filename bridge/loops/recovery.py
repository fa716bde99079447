"""Forget nothing: one sweep of the periodic beat task over what somebody left behind.

Three things are found: jobs of workers whose lease has ended, which run again or fail as the task's
``on_lost`` says; claims whose job was not published in time, because their poller died or because
they are to run again; and jobs that were published and do not start though a worker has room,
because their message was lost. Several sweeps at once are harmless: the store lets one of them win.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from dataclasses import dataclass

from bridge.errors import ErrorName, StoreUnavailable
from bridge.loops.dispatcher import BrokerUnavailable, Dispatcher, NotPublished, NotRegistered
from bridge.metrics import OFF, Meters
from bridge.model import Outcome
from bridge.store import ClaimStore, JobStore, Recovery
from bridge.support.killpoints import KillPoint, passing

logger = logging.getLogger(__name__)

BATCH = 100
"""At once, of all that a sweep finds: a script must not keep the others waiting."""
HOLD_S = 10.0
"""How long a claim that is being published is hidden from other sweeps."""
OUTAGES = 2
"""Broken connections in a row that are taken for an outage; one may be its message's own fault."""


@dataclass(slots=True)
class Sweep:
    """What one sweep did."""

    again: int = 0
    failed: int = 0
    dispatched: int = 0
    published_anew: int = 0


async def sweep(
    *, store: ClaimStore, jobs: JobStore, dispatcher: Dispatcher, meters: Meters = OFF
) -> Sweep:
    """Recover what can be found now.

    Raises:
        StoreUnavailable: Redis does not answer; the next sweep finds the rest.
    """
    done = Sweep()
    ends, more = time.monotonic() + HOLD_S, True  # later, what was taken first would come again
    while more and time.monotonic() < ends:
        more_lost = await _lose(done, store=store, jobs=jobs, meters=meters)
        passing(KillPoint.AFTER_LOSS_BEFORE_DISPATCH)
        more_unstarted = await _publish(done, store=store, dispatcher=dispatcher, meters=meters)
        more = more_lost or more_unstarted
    return done


async def _lose(done: Sweep, *, store: ClaimStore, jobs: JobStore, meters: Meters) -> bool:
    """Jobs of dead workers: again, or failed. Returns whether there may be more."""
    lost = await store.find_lost(BATCH)
    ours = 0
    for job, worker, activity in lost:
        outcome = Outcome.failure(ErrorName.WORKER_LOST, f"the lease of worker {worker} ended")
        try:
            answer = await asyncio.to_thread(jobs.recover, job, worker=worker, outcome=outcome)
        except StoreUnavailable:
            raise
        except Exception:
            logger.exception("job %s of worker %s is not recovered yet", job.id, worker)
            continue
        logger.warning("job %s of worker %s was lost: %s", job.id, worker, answer)
        done.again += answer is Recovery.AGAIN
        done.failed += answer is Recovery.FAILED
        if answer is not Recovery.MOVED:
            ours += 1
            meters.recovered(activity, answer)
    return len(lost) == BATCH and ours > 0  # none: another sweep has them, or the worker is back


async def _publish(
    done: Sweep, *, store: ClaimStore, dispatcher: Dispatcher, meters: Meters
) -> bool:
    """Claims whose job is to be published, or published anew; whether there may be more."""
    unstarted = await store.take_unstarted(BATCH, hold_s=HOLD_S)
    ends, outages, left = time.monotonic() + HOLD_S, 0, deque(unstarted)
    while left and time.monotonic() < ends:
        claim, retry = left.popleft()
        try:
            await asyncio.to_thread(dispatcher.publish, claim, retry=retry)
        except NotRegistered as exc:
            logger.warning("%s", exc)  # another beat process may have it
        except NotPublished as exc:  # the dispatcher has logged it
            outages = outages + 1 if isinstance(exc, BrokerUnavailable) else 0
            if outages == OUTAGES:
                return False  # the others would wait for the same broker
            # In the next pass, one that fails each time must not stand before the others again.
            random.shuffle(left)
        except StoreUnavailable:
            raise
        except Exception:
            logger.exception("claim %s is not dispatched yet", claim.claim_id)
        else:
            outages = 0
            passing(KillPoint.AFTER_DISPATCH_BEFORE_NOTE)
            if await store.mark_queued(claim.job):
                logger.info("claim %s is dispatched, attempt %d", claim.claim_id, claim.attempt)
                done.dispatched += 1
                meters.recovered(claim.activity, "dispatched")
            else:
                logger.warning("job %s had not started; it is published anew", claim.job.id)
                done.published_anew += 1
                meters.recovered(claim.activity, "published_anew")
    return len(unstarted) == BATCH and not left
