"""Claim activity tasks: poll against free slots, store, dispatch.

A poll is a promise: whatever it brings is ours to finish, and both of AWS's clocks run from then
on. So a poll is opened only with a grant of the store, a token is stored before anything else is
done with it, and on a drain the open polls come home.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bridge.batches import Batcher, Gap
from bridge.dispatch import Dispatcher, NotPublished
from bridge.errors import SchemaMismatch, StepFunctionsError, StoreUnavailable
from bridge.killpoints import KillPoint, passing
from bridge.lanes import Lane
from bridge.metrics import OFF, Meters
from bridge.model import Claim, claim_id_of
from bridge.registry import Activity, Registry
from bridge.settings import Settings
from bridge.stepfunctions import ActivityTask, Clients
from bridge.store import ClaimStore, Wish

logger = logging.getLogger(__name__)

GRANT_INTERVAL_S = 1.0
"""Who was refused a poll asks again within this time; everything else wakes the loop at once."""
IDLE_INTERVAL_S = 5.0
"""The same while all have what they want; a third of a lease, if that is less."""
GRANTS_APART_S = 0.005
"""While polls end one after the other; a grant is the dearest of the store's scripts."""
EMPTIES_APART_S = 0.2
"""When the only poll of an activity comes home empty, and its slot may be wanted elsewhere. One of
several is not missed: those are opened again together, and so come home together, too."""
MAX_BACKOFF_S = 30.0
MAX_DISPATCH_PAUSE_S = 5.0
"""Between two tries to publish one job."""
MAX_PUBLISHED = 50
"""Jobs that one hop to the publisher's thread takes along."""
PUBLISH_APART_S = 0.002
"""From one hop to the next, while they follow each other."""
NOTES_APART_S = 0.05
"""Nobody waits for the note that a job was published, and most have started by then."""
DRAIN_SAID_EVERY_S = 5.0
# An endpoint that answers polls at once, without a task, must not be asked in a hot loop.
MIN_EMPTY_POLL_S = 0.2


@dataclass(slots=True)
class Leftovers:
    """What a poller that was told to end at once leaves behind."""

    open_polls: int = 0
    unstored: list[str] = field(default_factory=list)
    undispatched: list[str] = field(default_factory=list)


class Poller:
    """The polls of one process.

    Args:
        arns: Activity as registered → ARN.
        name: Names this poller in the store, and as workerName in Step Functions.
    """

    def __init__(
        self, *, registry: Registry, arns: Mapping[str, str], clients: Clients,
        store: ClaimStore, dispatcher: Dispatcher, settings: Settings, name: str,
        meters: Meters = OFF,
    ) -> None:  # fmt: skip
        self._clients = clients
        self._store = store
        self._dispatcher = dispatcher
        self._settings = settings
        self._name = name
        self._meters = meters
        self._lanes = [
            Lane(registry[activity], arn, clients.place_of(activity))
            for activity, arn in arns.items()
        ]
        # Not the loop's own threads: names are resolved there, and a broker that hangs would keep
        # the calls to AWS waiting.
        self._publisher = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self._publish = Batcher(self._publish_all, most=MAX_PUBLISHED, apart_s=PUBLISH_APART_S)
        self._note = Batcher(
            store.mark_all_queued, most=MAX_PUBLISHED, apart_s=NOTES_APART_S, always=True
        )
        self._changed = asyncio.Event()
        self._waking: asyncio.TimerHandle | None = None
        self._draining = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unstored: set[str] = set()
        self._undispatched: set[str] = set()
        self._turns = 0
        self._slots: int | None = None
        self._idle_s = max(GRANT_INTERVAL_S, min(IDLE_INTERVAL_S, settings.lease_s / 3))
        self._ask_again_s = GRANT_INTERVAL_S

    async def run(self) -> None:
        """Poll until ``drain``; then wait for what is open and dispatch what it brings."""
        gap = Gap(GRANTS_APART_S)
        while not self._draining.is_set():
            await gap.over()
            gap.begin()
            self._changed.clear()
            self._ask_again_s = GRANT_INTERVAL_S
            try:
                await self.open_polls()
            except StoreUnavailable as exc:
                logger.warning("no poll is opened: %s", exc)
            except SchemaMismatch:
                raise  # what open polls bring could not be stored either
            except Exception:
                logger.exception("the poller's loop failed; it goes on")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._ask_again_s):
                    await self._changed.wait()
        said_at = 0.0
        while self._tasks:
            if time.monotonic() - said_at > DRAIN_SAID_EVERY_S:
                said_at = time.monotonic()
                logger.info("draining: %d open polls, %d claims to dispatch", self._open(),
                            len(self._undispatched))  # fmt: skip
            try:
                await self.open_polls()  # none: but the open ones go on holding their slots
            except Exception:
                logger.exception("the poller's lease is not renewed while it drains; it goes on")
            if self._tasks:  # the last may have ended meanwhile
                await asyncio.wait(self._tasks, timeout=GRANT_INTERVAL_S)
        try:
            await self._store.withdraw_poller(self._name)
        except StoreUnavailable as exc:
            logger.warning("%s This poller's lease ends by itself.", exc)

    def drain(self) -> None:
        """Open no more polls."""
        self._draining.set()
        self._changed.set()

    @property
    def draining(self) -> bool:
        """Whether no more polls are opened."""
        return self._draining.is_set()

    @property
    def slots(self) -> int | None:
        """Slots of the workers that serve these activities, as last heard; None before."""
        return self._slots

    def wake(self) -> None:
        """A slot may have become free: look at once."""
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None
        self._changed.set()

    def leftovers(self) -> Leftovers:
        """What would be left behind if the process ended now."""
        return Leftovers(self._open(), sorted(self._unstored), sorted(self._undispatched))

    def _open(self) -> int:
        return sum(lane.open for lane in self._lanes)

    async def open_polls(self) -> None:
        """Ask the store for polls and open those that it grants; while it drains: for none.

        Raises:
            StoreUnavailable: Redis does not answer; no poll was opened.
        """
        now, draining = time.monotonic(), self._draining.is_set()
        # Those that waited longest for a turn come first; matters when slots are few.
        lanes = sorted(self._lanes, key=lambda lane: lane.turn)
        wishes = [
            Wish(
                lane.activity.name,
                lane.activity.queue,
                lane.open,
                0 if draining else lane.want(now),
                place=lane.place,
            )
            for lane in lanes
        ]
        grant = await self._store.grant_polls(self._name, wishes)
        self._say_slots(grant.slots)
        if self._draining.is_set():
            return
        if all(polls == wish.want for polls, wish in zip(grant.polls, wishes, strict=True)):
            pauses = (lane.paused_until - now for lane in lanes if lane.paused_until > now)
            self._ask_again_s = min([self._idle_s, *pauses])
        for lane, polls, refused in zip(lanes, grant.polls, grant.refused, strict=True):
            # Twice the time, for a poll that comes home while the store is asked again.
            lane.renewable_until = now + 2 * self._ask_again_s if not refused else 0.0
            for _ in range(polls):
                self._turns += 1
                lane.turn = self._turns
                lane.open += 1
                self._spawn(self._poll(lane))

    def _say_slots(self, slots: int) -> None:
        if slots != self._slots:
            if slots == 0:
                logger.warning("no worker serves these queues: nothing is claimed until one does")
            else:
                logger.info("workers offer %d slots", slots)
            if 0 < slots < len(self._lanes):
                logger.warning(
                    "%d slots for %d activities: they take turns, and a turn without work lasts up "
                    "to a minute. Give the workers more concurrency.", slots, len(self._lanes)
                )  # fmt: skip
        self._slots = slots

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _poll(self, lane: Lane) -> None:
        """One poll and what it brings; whatever goes wrong, the lane gets its poll back."""
        again_within_s: float | None = 0.0
        try:
            task = await self._get_task(lane)
            if task is None:
                again_within_s = EMPTIES_APART_S if lane.open == 1 else None
            else:
                self._meters.polled(lane.activity.name, "task")
                lane.found(self._settings.max_polls_per_activity)
                await self._claim(lane.activity, task)
        except StepFunctionsError as exc:
            self.back_off(lane, f"{exc}")
        except Exception:
            logger.exception("a poller task of %s died; it is replaced", lane.activity.name)
            self.back_off(lane, "")
        finally:
            lane.open -= 1
            if again_within_s is not None:
                self._wake_within(again_within_s)

    async def _get_task(self, lane: Lane) -> ActivityTask | None:
        """Poll, again and again while nobody else wants the slot; None: it is given back."""
        client = self._clients.of(lane.activity.name)
        while True:
            started = time.monotonic()
            task = await client.get_activity_task(
                lane.arn, worker_name=self._name, read_timeout_s=self._settings.poll_timeout_s
            )
            if task is not None:
                return task
            self._meters.polled(lane.activity.name, "empty")
            lane.found_none()
            now = time.monotonic()
            if now - started < MIN_EMPTY_POLL_S:
                lane.pause(MIN_EMPTY_POLL_S)
            throttled = lane.place in self._clients.throttled  # of others' calls the store tells
            if throttled or self._draining.is_set() or not lane.renewable(now):
                return None

    def _wake_within(self, seconds: float) -> None:
        """Look within this time, once for all that ask for it until then."""
        if not seconds:
            self.wake()
        elif self._waking is None:
            self._waking = asyncio.get_running_loop().call_later(seconds, self.wake)

    def back_off(self, lane: Lane, reason: str) -> None:
        """A poll of this lane failed; called where its exception is handled.

        Args:
            reason: For the log; empty: it has been said.
        """
        self._meters.polled(lane.activity.name, "error")
        lane.failures += 1
        lane.shrink()
        ceiling_s = min(MAX_BACKOFF_S, 0.5 * 2 ** min(lane.failures, 10))
        pause_s = random.uniform(ceiling_s / 2, ceiling_s)  # noqa: S311 (jitter)
        lane.pause(pause_s)
        if reason:
            logger.warning("poll of %s failed, next in %.1f s: %s",
                           lane.activity.name, pause_s, reason)  # fmt: skip

    async def _claim(self, activity: Activity, task: ActivityTask) -> None:
        claim = Claim(claim_id_of(task.token), activity.name, task.input)
        self._unstored.add(claim.claim_id)
        passing(KillPoint.BEFORE_STORE)
        said = False
        while True:  # the token exists nowhere else: it is stored, or the process ends
            try:
                await self._store.store(
                    claim, token=task.token, queue=activity.queue,
                    interval_s=activity.heartbeat_s, manual=activity.manual,
                    max_attempts=activity.allowed_attempts, poller=self._name,
                )  # fmt: skip
                break
            except StoreUnavailable as exc:
                if not said:
                    logger.warning("claim %s is not stored yet: %s", claim.claim_id, exc)
                said = True
                await asyncio.sleep(_jittered_s(1.0))
            except Exception:
                logger.exception("claim %s is not stored yet; tried again", claim.claim_id)
                await asyncio.sleep(_jittered_s(5.0))
        self._unstored.discard(claim.claim_id)
        self._meters.claimed(activity.name)
        # Stored before dispatched: a crash in between must leave something to recover.
        passing(KillPoint.AFTER_STORE_BEFORE_DISPATCH)
        self._undispatched.add(claim.claim_id)
        self._spawn(self._dispatch(claim))

    async def _publish_all(self, claims: Sequence[Claim]) -> Sequence[Exception | None]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._publisher, self._dispatcher.publish_all, claims)

    async def _dispatch(self, claim: Claim) -> None:
        pause_s = 1.0
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
                    if self._draining.is_set():
                        return  # it is stored: recovery dispatches it, this process may end
                    await asyncio.sleep(_jittered_s(pause_s))
                    pause_s = min(2 * pause_s, MAX_DISPATCH_PAUSE_S)
        except Exception:
            logger.exception("claim %s was not dispatched; recovery does it", claim.claim_id)
        finally:
            self._undispatched.discard(claim.claim_id)


def _jittered_s(seconds: float) -> float:
    return random.uniform(seconds / 2, seconds)  # noqa: S311 (jitter)
