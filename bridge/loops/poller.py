"""Claim activity tasks: ask the store for polls, open them, hand over what they bring.

A poll is a promise: whatever it brings is ours to finish, and both of AWS's clocks run from then
on. So a poll is opened only with a grant of the store, and on a drain the open polls are waited
for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from bridge.errors import SchemaMismatch, StepFunctionsError, StoreUnavailable
from bridge.loops.dispatcher import Dispatcher
from bridge.loops.grant_log import GrantLog
from bridge.loops.intake import Intake
from bridge.loops.poll_window import Lane, Poll, Window
from bridge.metrics import OFF, Meters
from bridge.registry import Registry
from bridge.settings import Settings
from bridge.stepfunctions import Clients
from bridge.store import ClaimStore, PollRefusal, Wish
from bridge.support.backoff import POLL
from bridge.support.batching import Gap

logger = logging.getLogger(__name__)

GRANT_INTERVAL_S = 1.0
"""A poller that was refused a poll asks again within this time; what frees a slot here wakes it at
once, and what frees one elsewhere (another poller's end, a worker) does not."""
IDLE_INTERVAL_S = 5.0
"""The same while nothing is refused; a third of a lease, if that is less."""
GRANTS_APART_S = 0.005
"""While polls end one after the other; a grant is the dearest of the store's scripts."""
EMPTIES_APART_S = 0.2
"""Polls that return empty within this time share an ask; so do those that become idle, while
nothing waits for the room that they give back."""
IDLE_TOGETHER_S = 0.02
"""Polls that become idle within this time share an ask, however scarce room is."""
DRAIN_SAID_EVERY_S = 5.0
# An endpoint that answers polls at once, without a task, must not be asked in a hot loop.
MIN_EMPTY_POLL_S = 0.2


@dataclass(slots=True)
class UnfinishedWork:
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
    ) -> None:
        self._clients = clients
        self._store = store
        self._settings = settings
        self._name = name
        self._meters = meters
        self._lanes = [
            Lane(
                registry[activity],
                arn,
                clients.place_of(activity),
                Window(settings.max_polls_per_activity),
            )
            for activity, arn in arns.items()
        ]
        self._intake = Intake(store=store, dispatcher=dispatcher, meters=meters, poller=name)
        self._grant_log = GrantLog()
        self._refusals: dict[str, PollRefusal] = {}
        self._changed = asyncio.Event()
        self._freed = False
        self._waking: asyncio.TimerHandle | None = None
        self._draining = asyncio.Event()
        self._polls: set[asyncio.Task[None]] = set()
        self._turns = 0
        self._idle_s = max(GRANT_INTERVAL_S, min(IDLE_INTERVAL_S, settings.lease_s / 3))

    async def run(self) -> None:
        """Poll until ``drain``; then wait for what is open and dispatch what it brings."""
        gap = Gap(GRANTS_APART_S)
        while not self._draining.is_set():
            await gap.over()
            gap.begin()
            self._changed.clear()
            self._freed = False
            ask_again_s = GRANT_INTERVAL_S
            try:
                ask_again_s = await self.open_polls()
                if self._freed and self._refusals:
                    continue  # the store may have answered before that slot became free
            except StoreUnavailable as exc:
                logger.warning("no poll is opened: %s", exc)
            except SchemaMismatch:
                raise  # what open polls bring could not be stored either
            except Exception:
                logger.exception("the poller's loop failed; it goes on")
            with suppress(TimeoutError):
                async with asyncio.timeout(ask_again_s):
                    await self._changed.wait()
        await self._finish()
        try:
            await self._store.withdraw_poller(self._name)
        except StoreUnavailable as exc:
            logger.warning("%s This poller's lease ends by itself.", exc)

    async def _finish(self) -> None:
        """Wait for the open polls and for the jobs that are being published."""
        said_at = 0.0
        while tasks := self._polls | self._intake.dispatching:
            if time.monotonic() - said_at > DRAIN_SAID_EVERY_S:
                said_at = time.monotonic()
                logger.info(
                    "draining: %d open polls, %d claims to dispatch",
                    self._open(),
                    len(self._intake.undispatched),
                )
            ask_again_s = GRANT_INTERVAL_S
            try:
                ask_again_s = await self.open_polls()  # none: but the open ones keep their room
            except Exception:
                logger.exception("the poller's lease is not renewed while it drains; it goes on")
            await asyncio.wait(tasks, timeout=min(ask_again_s, GRANT_INTERVAL_S))

    def drain(self) -> None:
        """Open no more polls."""
        self._draining.set()
        self._intake.drain()
        self._changed.set()

    @property
    def draining(self) -> bool:
        """Whether no more polls are opened."""
        return self._draining.is_set()

    @property
    def refusals(self) -> Mapping[str, PollRefusal]:
        """Activity → why it was not granted all that it wanted when the store was last asked."""
        return self._refusals

    def wake(self) -> None:
        """A slot has become free: ask at once, if a poll was refused."""
        self._freed = True
        if self._refusals:
            self._ask_now()

    def unfinished_work(self) -> UnfinishedWork:
        """What would be left behind if the process ended now."""
        intake = self._intake
        return UnfinishedWork(self._open(), sorted(intake.unstored), sorted(intake.undispatched))

    def _open(self) -> int:
        return sum(lane.open for lane in self._lanes)

    async def open_polls(self) -> float:
        """Ask the store for polls and open those that it grants; while it drains: for none.

        Returns:
            Seconds until it is to be asked again, if nothing changes meanwhile.

        Raises:
            StoreUnavailable: Redis does not answer; no poll was opened.
        """
        draining = self._draining.is_set()
        # Those that waited longest for a turn come first; matters when slots are few.
        lanes = sorted(self._lanes, key=lambda lane: lane.turn)
        wishes = self._wishes(lanes, draining=draining)
        grant = await self._store.grant_polls(self._name, wishes)
        if draining:
            return self._ask_again_s(grant.refused)
        self._grant_log.note(wishes, grant.slots, grant.refused)
        self._refusals = {
            wish.activity: why for wish, why in zip(wishes, grant.refused, strict=True) if why
        }
        now = time.monotonic()
        for lane, polls in zip(lanes, grant.polls, strict=True):
            lane.window.measure(now)
            if not self._draining.is_set():
                self._open_on(lane, polls, now)
        return self._ask_again_s(grant.refused)

    def _wishes(self, lanes: list[Lane], *, draining: bool) -> list[Wish]:
        now = time.monotonic()
        wishes = []
        for lane in lanes:
            lane.age(now)
            lane.window.ask()
            lane.untold = False
            want = 0 if draining else lane.want(now)
            activity = lane.activity
            wishes.append(
                Wish(activity.name, activity.queue, lane.fresh, want, lane.idle, lane.place)
            )
        return wishes

    def _open_on(self, lane: Lane, polls: int, now: float) -> None:
        for _ in range(polls):
            self._turns += 1
            lane.turn = self._turns
            polling = asyncio.create_task(self._poll(lane, lane.opens(now)))
            self._polls.add(polling)
            polling.add_done_callback(self._polls.discard)

    def _ask_again_s(self, refused: Sequence[PollRefusal]) -> float:
        """Seconds until something is due: a refusal, the end of a pause, polls that become idle."""
        now = time.monotonic()
        scarce = PollRefusal.NO_ROOM in refused or PollRefusal.SHARE in refused
        together_s = IDLE_TOGETHER_S if scarce else EMPTIES_APART_S
        due_s = GRANT_INTERVAL_S if any(refused) else self._idle_s
        for lane in self._lanes:
            idle_at = now if lane.untold else lane.idle_at
            due_s = min(due_s, idle_at - now + together_s)
            if lane.paused_until > now:
                due_s = min(due_s, lane.paused_until - now)
        return max(0.0, due_s)

    async def _poll(self, lane: Lane, poll: Poll) -> None:
        """One poll and what it brings; whatever goes wrong, the lane gets its poll back."""
        task = None
        try:
            task = await self._clients.of(lane.activity.name).get_activity_task(
                lane.arn, worker_name=self._name, read_timeout_s=self._settings.poll_timeout_s
            )
            now = time.monotonic()
            if task is None:
                self._meters.polled(lane.activity.name, "empty")
                lane.found_none(poll, now)
                if now - poll.opened_at < MIN_EMPTY_POLL_S:
                    lane.pause(MIN_EMPTY_POLL_S)
                # What one of several gives back is room, and nothing has to be opened for it.
                self._ask_within(EMPTIES_APART_S if lane.open == 1 else GRANT_INTERVAL_S)
            else:
                self._meters.polled(lane.activity.name, "task")
                lane.found(poll, now)
                await self._intake.claim(lane.activity, task)
        except StepFunctionsError as exc:
            self.back_off(lane, f"{exc}")
        except Exception:
            logger.exception("a poller task of %s died; it is replaced", lane.activity.name)
            self.back_off(lane, "")
        finally:
            lane.closes(poll)
            if task is not None and lane.want(time.monotonic()):
                self._ask_now()

    def _ask_within(self, seconds: float) -> None:
        """Ask within this time, once for all that need it until then."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if self._waking is not None:
            if self._waking.when() <= at:
                return
            self._waking.cancel()
        self._waking = loop.call_at(at, self._ask_now)

    def _ask_now(self) -> None:
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None
        self._changed.set()

    def back_off(self, lane: Lane, reason: str) -> None:
        """A poll of this lane failed; called where its exception is handled.

        Args:
            reason: For the log; empty: it has been said.
        """
        self._meters.polled(lane.activity.name, "error")
        lane.failures += 1
        lane.window.halve()
        pause_s = POLL.pause_s(lane.failures)
        lane.pause(pause_s)
        self._ask_within(pause_s)
        if reason:
            logger.warning(
                "poll of %s failed, next in %.1f s: %s", lane.activity.name, pause_s, reason
            )
