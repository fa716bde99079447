"""Claim activity tasks: ask the store for polls, open them, and store what they bring.

This fleet must do whatever a poll brings, and both time-outs of a task (HeartbeatSeconds,
TimeoutSeconds) start with it. So a poll is opened only if the store grants it, and a poller that
drains waits for its open polls.

``poll_wishes`` says what is asked for and when, ``open_polls`` which polls are open,
``poll_window`` how many an activity needs; ``intake`` turns a task into a claim and a job.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.errors import SchemaMismatch, StepFunctionsError, StoreUnavailable
from bridge.loops.dispatcher import Dispatcher
from bridge.loops.grant_log import GrantLog
from bridge.loops.intake import Intake
from bridge.loops.open_polls import ActivityPolls, OpenPoll
from bridge.loops.poll_window import Window
from bridge.loops.poll_wishes import (
    EMPTIES_APART_S,
    GRANT_INTERVAL_S,
    AskAlarm,
    ask_again_s,
    wishes_of,
)
from bridge.metrics import OFF, Meters
from bridge.registry import Registry
from bridge.settings import Settings
from bridge.stepfunctions import Clients
from bridge.store import ClaimStore, PollRefusal, Wish
from bridge.store.records import Grant
from bridge.support.batching import Gap

logger = logging.getLogger(__name__)

GRANTS_APART_S = 0.005
"""The least time between two requests for polls, while polls end one after the other."""
DRAIN_LOG_EVERY_S = 5.0
# An endpoint that answers polls at once, without a task, must not be asked in a hot loop.
MIN_EMPTY_POLL_S = 0.2


@dataclass(slots=True)
class UnfinishedWork:
    """What a poller that ends at once leaves behind.

    Attributes:
        open_polls: Polls whose next tasks are lost.
        unstored: Claims whose token only this process has.
        undispatched: Claims that are stored; recovery publishes their jobs.
    """

    open_polls: int = 0
    unstored: list[str] = field(default_factory=list)
    undispatched: list[str] = field(default_factory=list)


class Poller:
    """The polls of one process.

    Args:
        arns: Activity as registered → ARN.
        name: Names this poller in the store, and as workerName in Step Functions.
        grant_timeout_s: How long the store may take to answer; None: as long as its client waits.
        on_poll_error: Called with what each failed poll raised.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        arns: Mapping[str, str],
        clients: Clients,
        store: ClaimStore,
        dispatcher: Dispatcher,
        settings: Settings,
        name: str,
        meters: Meters = OFF,
        grant_timeout_s: float | None = None,
        on_poll_error: Callable[[Exception], None] = lambda exc: None,
    ) -> None:
        self._clients = clients
        self._store = store
        self._settings = settings
        self._name = name
        self._meters = meters
        self._grant_timeout_s = grant_timeout_s
        self._on_poll_error = on_poll_error
        self._activities = [
            ActivityPolls(
                activity=registry[activity],
                arn=arn,
                place=clients.place_of(activity),
                window=Window(settings.max_polls_per_activity),
            )
            for activity, arn in arns.items()
        ]
        self._intake = Intake(store=store, dispatcher=dispatcher, meters=meters, poller=name)
        self._grant_log = GrantLog()
        self._refusals: dict[str, PollRefusal] = {}
        self._alarm = AskAlarm()
        self._slot_became_free = False
        self._draining = False
        self._polling: set[asyncio.Task[None]] = set()
        self._turns = 0

    async def run(self) -> None:
        """Poll until ``drain``; then ``finish``.

        Raises:
            SchemaMismatch: What open polls bring could not be stored either.
        """
        gap = Gap(GRANTS_APART_S)
        while not self._draining:
            await gap.over()
            gap.begin()
            self._alarm.reset()
            self._slot_became_free = False
            again_s = GRANT_INTERVAL_S
            try:
                again_s = await self.ask_for_polls()
                if self._slot_became_free and self._refusals:
                    continue  # the store may have answered before that slot became free
            except StoreUnavailable as exc:
                logger.warning("no poll is opened: %s", exc)
            except SchemaMismatch:
                raise
            except Exception:
                logger.exception("the poller's loop failed; it goes on")
            await self._alarm.wait(again_s)
        await self.finish()

    async def finish(self) -> None:
        """Wait for the open polls, dispatch what they bring, and leave the store."""
        logged_at = 0.0
        while tasks := self._polling | self._intake.dispatching:
            if time.monotonic() - logged_at > DRAIN_LOG_EVERY_S:
                logged_at = time.monotonic()
                logger.info(
                    "draining: %d open polls, %d claims to dispatch",
                    self._open_count(),
                    len(self._intake.undispatched),
                )
            again_s = GRANT_INTERVAL_S
            try:
                # This opens no poll; it keeps the room of the open ones, and the poller's lease.
                again_s = await self.ask_for_polls()
            except StoreUnavailable as exc:
                logger.warning("the poller's lease is not renewed while it drains: %s", exc)
            except Exception:
                logger.exception("the poller's lease is not renewed while it drains; it goes on")
            await asyncio.wait(tasks, timeout=min(again_s, GRANT_INTERVAL_S))
        try:
            await self._store.withdraw_poller(self._name)
        except StoreUnavailable as exc:
            logger.warning("%s This poller's lease ends by itself.", exc)

    def drain(self) -> None:
        """Open no more polls."""
        self._draining = True
        self._intake.drain()
        self._alarm.ring()

    @property
    def refusals(self) -> Mapping[str, PollRefusal]:
        """Activity → why it was not granted all that it wanted when the store was last asked."""
        return self._refusals

    def wake(self) -> None:
        """A slot has become free: if a poll was refused, ask the store again at once."""
        self._slot_became_free = True
        if self._refusals:
            self._alarm.ring()

    def unfinished_work(self) -> UnfinishedWork:
        """What would be left behind if the process ended now."""
        return UnfinishedWork(
            open_polls=self._open_count(),
            unstored=sorted(self._intake.unstored),
            undispatched=sorted(self._intake.undispatched),
        )

    def _open_count(self) -> int:
        return sum(polls.open for polls in self._activities)

    async def ask_for_polls(self) -> float:
        """Ask the store for polls and open those that it grants; none while the poller drains.

        Returns:
            Seconds until it is to be asked again, if nothing changes meanwhile.

        Raises:
            StoreUnavailable: Redis does not answer; no poll was opened.
        """
        draining = self._draining
        # Those that waited longest for a turn come first, which matters when slots are few.
        activities = sorted(self._activities, key=lambda polls: polls.turn)
        wishes = wishes_of(activities, time.monotonic(), draining=draining)
        grant = await self._ask(wishes)
        now = time.monotonic()
        if not draining:
            self._note(wishes, grant)
            for polls, granted in zip(activities, grant.polls, strict=True):
                polls.window.measure(now)
                if not self._draining:
                    self._open(polls, granted, now)
        return ask_again_s(self._activities, grant.refused, now, lease_s=self._settings.lease_s)

    async def _ask(self, wishes: Sequence[Wish]) -> Grant:
        timeout_s = self._grant_timeout_s
        if timeout_s is None:
            return await self._store.grant_polls(self._name, wishes)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._store.grant_polls(self._name, wishes)
        except TimeoutError:
            raise StoreUnavailable(
                f"the claim store has not answered within {timeout_s:.0f} s: no poll is opened."
            ) from None

    def _note(self, wishes: Sequence[Wish], grant: Grant) -> None:
        self._grant_log.note(wishes, grant.slots, grant.refused)
        self._refusals = {
            wish.activity: why for wish, why in zip(wishes, grant.refused, strict=True) if why
        }

    def _open(self, polls: ActivityPolls, count: int, now: float) -> None:
        for _ in range(count):
            self._turns += 1
            polls.turn = self._turns
            polling = asyncio.create_task(self._poll(polls, polls.add(now)))
            self._polling.add(polling)
            polling.add_done_callback(self._polling.discard)

    async def _poll(self, polls: ActivityPolls, poll: OpenPoll) -> None:
        """Send one poll and store what it brings; every error is logged and backed off."""
        task = None
        name = polls.activity.name
        try:
            task = await self._clients.of(name).get_activity_task(
                polls.arn, worker_name=self._name, read_timeout_s=self._settings.poll_timeout_s
            )
            now = time.monotonic()
            if task is None:
                self._meters.polled(name, "empty")
                polls.note_empty(poll, now)
                if now - poll.opened_at < MIN_EMPTY_POLL_S:
                    polls.pause(MIN_EMPTY_POLL_S)
                # If other polls of this activity are open, none has to replace this one, and the
                # room that it gives back can wait.
                self._alarm.ring_within(EMPTIES_APART_S if polls.open == 1 else GRANT_INTERVAL_S)
            else:
                self._meters.polled(name, "task")
                polls.note_task(poll, now)
                await self._intake.claim(polls.activity, task)
        except Exception as exc:
            self._meters.polled(name, "error")
            self._on_poll_error(exc)
            pause_s = polls.note_failure()
            self._alarm.ring_within(pause_s)
            if isinstance(exc, StepFunctionsError):
                logger.warning("poll of %s failed, next in %.1f s: %s", name, pause_s, exc)
            else:
                logger.exception("poll of %s failed unexpectedly, next in %.1f s", name, pause_s)
        finally:
            polls.remove(poll)
            if task is not None and polls.want(time.monotonic()):
                self._alarm.ring()
