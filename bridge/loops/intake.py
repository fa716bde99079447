"""Turn the tasks that polls bring into claims: store each, then have its job published.

Until a task token is stored, only this process has it. So storing is tried again until the store
takes it or the process ends. If a claim is stored and its job is not published, recovery publishes
it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bridge.errors import StoreUnavailable
from bridge.loops.dispatcher import Dispatcher, NotPublished
from bridge.metrics import Meters
from bridge.model import Claim, claim_id_of
from bridge.registry import Activity
from bridge.stepfunctions import ActivityTask
from bridge.store import ClaimStore
from bridge.support.backoff import PUBLISH, STORE_CLAIM, STORE_CLAIM_BUG
from bridge.support.batching import Batcher
from bridge.support.killpoints import KillPoint, passing

logger = logging.getLogger(__name__)

MAX_PUBLISHED = 50
"""The most jobs that are handed to the publisher's thread at once."""
PUBLISH_APART_S = 0.002
"""The least time between the beginnings of a batch of several jobs and of the next batch."""
NOTES_APART_S = 0.05
"""The least time between two calls of ``mark_queued``, which notes that jobs were published. The
call may be late: only a poller that drains waits for it, and most jobs start before it."""


class Intake:
    """The claims that one poller is storing and dispatching.

    Args:
        poller: Its name in the store.

    Attributes:
        unstored: Claims whose token only this process has.
        undispatched: Claims that are stored and whose job is not published.
        dispatching: The asyncio tasks that publish those.
    """

    def __init__(
        self, *, store: ClaimStore, dispatcher: Dispatcher, meters: Meters, poller: str
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._meters = meters
        self._poller = poller
        # Jobs are published in a thread of their own, not in the event loop's default executor:
        # that one resolves host names, so a broker that hangs would delay the calls to AWS.
        self._publisher = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self._publish = Batcher(self._publish_all, most=MAX_PUBLISHED, apart_s=PUBLISH_APART_S)
        self._note = Batcher(
            store.mark_all_queued, most=MAX_PUBLISHED, apart_s=NOTES_APART_S, always=True
        )
        self._draining = False
        self.unstored: set[str] = set()
        self.undispatched: set[str] = set()
        self.dispatching: set[asyncio.Task[None]] = set()

    def drain(self) -> None:
        """From now on, do not try again to publish a job that the broker refused; recovery does."""
        self._draining = True

    async def claim(self, activity: Activity, task: ActivityTask) -> None:
        """Store a task, however long that takes, and begin to dispatch its job."""
        claim = Claim(claim_id_of(task.token), activity.name, task.input)
        self.unstored.add(claim.claim_id)
        passing(KillPoint.BEFORE_STORE)
        logged = False
        while True:
            try:
                await self._store.store(
                    claim,
                    token=task.token,
                    queue=activity.queue,
                    interval_s=activity.heartbeat_s,
                    manual=activity.manual,
                    max_attempts=activity.allowed_attempts,
                    poller=self._poller,
                )
                break
            except StoreUnavailable as exc:
                if not logged:
                    logger.warning("claim %s is not stored yet: %s", claim.claim_id, exc)
                logged = True
                await asyncio.sleep(STORE_CLAIM.pause_s(1))
            except Exception:
                logger.exception(
                    "claim %s is not stored yet; the poller tries again", claim.claim_id
                )
                await asyncio.sleep(STORE_CLAIM_BUG.pause_s(1))
        self.unstored.discard(claim.claim_id)
        self._meters.claimed(activity.name)
        # Stored before dispatched: a crash in between must leave something to recover.
        passing(KillPoint.AFTER_STORE_BEFORE_DISPATCH)
        self.undispatched.add(claim.claim_id)
        dispatching = asyncio.create_task(self._dispatch(claim))
        self.dispatching.add(dispatching)
        dispatching.add_done_callback(self.dispatching.discard)

    async def _publish_all(self, claims: Sequence[Claim]) -> Sequence[Exception | None]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._publisher, self._dispatcher.publish_all, claims)

    async def _dispatch(self, claim: Claim) -> None:
        failures = 0
        try:
            while True:
                try:
                    await self._publish(claim)
                    passing(KillPoint.AFTER_DISPATCH_BEFORE_NOTE)
                    await self._note(claim.job)
                    return
                except (NotPublished, StoreUnavailable) as exc:
                    if isinstance(exc, StoreUnavailable):  # the dispatcher has logged the other
                        logger.warning("claim %s is not dispatched yet: %s", claim.claim_id, exc)
                    if self._draining:
                        return  # recovery publishes it, so this process may end
                    failures += 1
                    await asyncio.sleep(PUBLISH.pause_s(failures))
        except Exception:
            logger.exception("claim %s was not dispatched; recovery dispatches it", claim.claim_id)
        finally:
            self.undispatched.discard(claim.claim_id)
