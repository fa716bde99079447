"""Recover claims and jobs that a dead process left behind: one pass, which a tick starts.

A pass finds three things:

- jobs of workers whose lease has ended: they run again, or fail, as the task's ``on_lost`` says;
- claims whose job was not published in time, because their poller died or because their job is to
  run again: it is published;
- jobs that were published and do not start though a worker has room, because their message was
  lost: they are published anew.

Several passes at once are harmless: the store lets one of them take each job or claim.
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
from bridge.model import Claim, Outcome
from bridge.store import ClaimStore, JobStore, Recovery
from bridge.support.killpoints import KillPoint, passing

logger = logging.getLogger(__name__)

BATCH = 100
"""The most jobs or claims that one script looks for: other calls of the store wait for it."""
HOLD_S = 10.0
"""How long a claim that is being published is hidden from other passes."""
OUTAGES = 2
"""This many broken connections in a row are taken for an outage; one alone may be the fault of its
message."""


@dataclass(slots=True)
class RecoveryCounts:
    """What one pass did.

    Attributes:
        again: Lost jobs that run again.
        failed: Lost jobs whose claim failed.
        dispatched: Claims whose job was published.
        published_anew: Jobs that had not started and were published anew.
    """

    again: int = 0
    failed: int = 0
    dispatched: int = 0
    published_anew: int = 0


async def recover(
    *, store: ClaimStore, jobs: JobStore, dispatcher: Dispatcher, meters: Meters = OFF
) -> RecoveryCounts:
    """Recover what can be found now.

    Raises:
        StoreUnavailable: Redis does not answer; the next pass finds the rest.
    """
    recovery = _RecoveryPass(store=store, jobs=jobs, dispatcher=dispatcher, meters=meters)
    # A longer pass would find again what it took first.
    ends, more = time.monotonic() + HOLD_S, True
    while more and time.monotonic() < ends:
        more_lost = await recovery.recover_lost_jobs()
        passing(KillPoint.AFTER_LOSS_BEFORE_DISPATCH)
        more_unstarted = await recovery.publish_unstarted()
        more = more_lost or more_unstarted
    return recovery.counts


class _RecoveryPass:
    """The recoveries of one pass."""

    def __init__(
        self, *, store: ClaimStore, jobs: JobStore, dispatcher: Dispatcher, meters: Meters
    ) -> None:
        self.counts = RecoveryCounts()
        self._store = store
        self._jobs = jobs
        self._dispatcher = dispatcher
        self._meters = meters

    async def recover_lost_jobs(self) -> bool:
        """Let jobs of dead workers run again, or fail them; whether there may be more."""
        lost = await self._store.find_lost(BATCH)
        recovered = 0
        for job, worker, activity in lost:
            outcome = Outcome.failure(ErrorName.WORKER_LOST, f"the lease of worker {worker} ended")
            try:
                answer = await asyncio.to_thread(
                    self._jobs.recover, job, worker=worker, outcome=outcome
                )
            except StoreUnavailable:
                raise
            except Exception:
                logger.exception("job %s of worker %s is not recovered yet", job.id, worker)
                continue
            logger.warning("job %s of worker %s was lost: %s", job.id, worker, answer)
            self.counts.again += answer is Recovery.AGAIN
            self.counts.failed += answer is Recovery.FAILED
            if answer is not Recovery.MOVED:
                recovered += 1
                self._meters.recovered(activity, answer)
        # None recovered: another pass has recovered them, or the worker is back.
        return len(lost) == BATCH and recovered > 0

    async def publish_unstarted(self) -> bool:
        """Publish jobs that were not published, or do not start; whether there may be more."""
        unstarted = await self._store.take_unstarted(BATCH, hold_s=HOLD_S)
        ends, outages, left = time.monotonic() + HOLD_S, 0, deque(unstarted)
        while left and time.monotonic() < ends:
            claim, retry = left.popleft()
            try:
                await asyncio.to_thread(self._dispatcher.publish, claim, retry=retry)
            except NotRegistered as exc:
                logger.warning("%s", exc)  # another beat process may have the task
            except NotPublished as exc:  # the dispatcher has logged it
                outages = outages + 1 if isinstance(exc, BrokerUnavailable) else 0
                if outages == OUTAGES:
                    return False  # the others would wait for the same broker
                # A job that fails each time must not delay the same other jobs in each pass.
                random.shuffle(left)
            except StoreUnavailable:
                raise
            except Exception:
                logger.exception("claim %s is not dispatched yet", claim.claim_id)
            else:
                outages = 0
                passing(KillPoint.AFTER_DISPATCH_BEFORE_NOTE)
                await self._note_published(claim)
        return len(unstarted) == BATCH and not left

    async def _note_published(self, claim: Claim) -> None:
        if await self._store.mark_queued(claim.job):
            logger.info("claim %s is dispatched, attempt %d", claim.claim_id, claim.attempt)
            self.counts.dispatched += 1
            self._meters.recovered(claim.activity, "dispatched")
        else:
            logger.warning("job %s had not started; it is published anew", claim.job.id)
            self.counts.published_anew += 1
            self._meters.recovered(claim.activity, "published_anew")
