"""Turn the tasks that polls bring into claims: store each, then dispatch its job.

A token exists nowhere else until it is stored: it is tried again until the store takes it or the
process ends. A claim that is stored and not dispatched is recovery's to dispatch.
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
"""Jobs that one hop to the publisher's thread takes along."""
PUBLISH_APART_S = 0.002
"""From one hop to the next, while they follow each other."""
NOTES_APART_S = 0.05
"""Nothing waits for the note that a job was published, and most have started by then."""


class Intake:
    """The claims that one poller is storing and dispatching.

    Args:
        poller: Its name in the store.

    Attributes:
        unstored: Claims whose token only this process has.
        undispatched: Claims that are stored and whose job is not published.
        dispatching: The tasks that publish those.
    """

    def __init__(
        self, *, store: ClaimStore, dispatcher: Dispatcher, meters: Meters, poller: str
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._meters = meters
        self._poller = poller
        # Not the loop's own threads: names are resolved there, and a broker that hangs would keep
        # the calls to AWS waiting.
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
        """From now on a job that the broker does not take is left to recovery."""
        self._draining = True

    async def claim(self, activity: Activity, task: ActivityTask) -> None:
        """Store a task, however long that takes, and begin to dispatch its job."""
        claim = Claim(claim_id_of(task.token), activity.name, task.input)
        self.unstored.add(claim.claim_id)
        passing(KillPoint.BEFORE_STORE)
        said = False
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
                if not said:
                    logger.warning("claim %s is not stored yet: %s", claim.claim_id, exc)
                said = True
                await asyncio.sleep(STORE_CLAIM.pause_s(1))
            except Exception:
                logger.exception("claim %s is not stored yet; tried again", claim.claim_id)
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
                        return  # it is stored: recovery dispatches it, this process may end
                    failures += 1
                    await asyncio.sleep(PUBLISH.pause_s(failures))
        except Exception:
            logger.exception("claim %s was not dispatched; recovery does it", claim.claim_id)
        finally:
            self.undispatched.discard(claim.claim_id)
