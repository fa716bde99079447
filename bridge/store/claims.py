"""The store for the processes with AWS credentials: claims, tokens and schedules. Asyncio."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bridge.errors import ErrorName
from bridge.heartbeat_ratio import INTERVALS_PER_HEARTBEAT_SECONDS
from bridge.model import Claim, Job, Outcome
from bridge.settings import Settings
from bridge.store.clock import ClockWatch
from bridge.store.connection_options import SOCKET_TIMEOUT_S
from bridge.store.records import (
    ClosedClaims,
    DueHeartbeat,
    DueHeartbeats,
    DueReports,
    Grant,
    LostJob,
    PassKind,
    PollRefusal,
    UnstartedClaim,
    Wish,
)
from bridge.store.rows import (
    EndedRow,
    HeartbeatRow,
    LostRow,
    ReportRow,
    UnfinishedRow,
    UnstartedRow,
    rows_of,
)
from bridge.store.scripts import AsyncScripts, ms
from bridge.store.translation import translated

MAX_WAIT_S = SOCKET_TIMEOUT_S / 2
"""A blocking pop must return before the socket's time-out ends the connection."""
DISPATCH_GRACE_TICKS = 2
"""Recovery dispatches a claim whose poller has not noted its dispatch for this many tick
intervals."""
POLLS_HELD_S = 3.0
"""How long no poll is opened once reports or heartbeats are throttled."""

_HEARTBEAT_LOST = Outcome.failure(
    ErrorName.HEARTBEAT_LOST,
    "the job has heartbeat='manual' and has not called bridge.current().heartbeat() for five "
    "heartbeat intervals",
)


def _not_started(patience_s: float) -> Outcome:
    cause = f"no worker has started the job within BRIDGE_PATIENCE_S={patience_s:g} s"
    return Outcome.failure(ErrorName.NOT_STARTED, cause)


class ClaimStore:
    """The claims, with their tokens.

    Every method raises ``StoreUnavailable`` when Redis does not answer; all are harmless when
    repeated. Belongs to the event loop that first uses it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._scripts = AsyncScripts(settings)
        self._clock = ClockWatch(self._scripts, settings)

    async def store(
        self,
        claim: Claim,
        *,
        token: str,
        queue: str,
        interval_s: float,
        manual: bool,
        max_attempts: int,
        poller: str,
    ) -> bool:
        """Store a claim, in the room that its poll took; False: it was stored before.

        Args:
            interval_s: Between heartbeats.
            manual: Whether the job itself must call ``heartbeat()`` to show that it makes progress.
            max_attempts: How many attempts it may have when workers die; 1: no second one.
            poller: The poller whose poll brought it.
        """
        stored = await self._scripts.call(
            "store_claim",
            claim.claim_id,
            token,
            claim.input,
            claim.activity,
            queue,
            ms(interval_s),
            int(manual),
            ms(self._settings.patience_s),
            poller,
            max_attempts,
            ms(DISPATCH_GRACE_TICKS * self._settings.tick_s),
        )
        return bool(stored)

    async def mark_queued(self, job: Job) -> bool:
        """Note that a job was published; False when its claim has moved on already."""
        return (await self.mark_all_queued([job]))[0]

    async def mark_all_queued(self, jobs: Sequence[Job]) -> list[bool]:
        """Note that these jobs were published; for each, False when its claim has moved on."""
        parts = [part for job in jobs for part in (job.claim_id, job.attempt)]
        answers = await self._scripts.call("mark_queued", ms(self._settings.lease_s), *parts)
        return [bool(noted) for noted in answers]

    async def grant_polls(self, poller: str, wishes: Sequence[Wish]) -> Grant:
        """Ask the ledger how many polls this poller may open; also renews the poller's lease."""
        settings = self._settings
        args: list[str | int | float] = [
            poller,
            ms(settings.lease_s),
            settings.look_ahead,
            ms(settings.look_ahead_s),
            settings.look_ahead_most,
        ]
        for wish in wishes:
            args += (wish.activity, wish.queue, wish.fresh, wish.idle, wish.want, wish.place)
        slots, granted, refused = await self._scripts.call("grant_polls", *args)
        return Grant(slots=slots, polls=granted, refused=[PollRefusal(why) for why in refused])

    async def withdraw_poller(self, poller: str) -> bool:
        """Forget a poller that has stopped in order; False when it was not known."""
        return bool(await self._scripts.call("withdraw_poller", poller))

    async def take_outbox(self, limit: int, *, hold_s: float, overdue_s: float = 0.0) -> DueReports:
        """Take outcomes that are due, hidden from other reporters for ``hold_s``.

        Args:
            overdue_s: Take only those that have been due for this long.
        """
        args = (limit, ms(hold_s), ms(overdue_s))
        next_due_ms, flat = await self._scripts.call("take_outbox", *args)
        return DueReports(
            reports=[row.record() for row in rows_of(ReportRow, flat)],
            next_due_s=None if next_due_ms < 0 else next_due_ms / 1000,
        )

    async def postpone_report(self, claim_id: str, delay_s: float) -> bool:
        """Try to report again after the delay; False when it is not in the outbox any more."""
        return bool(await self._scripts.call("postpone_report", claim_id, ms(delay_s)))

    async def wait_for_outcome(self, timeout_s: float) -> bool:
        """Wait until an outcome comes into the outbox; False after ``timeout_s``, at most 2.5 s."""
        timeout_s = max(0.01, min(timeout_s, MAX_WAIT_S))
        with translated(self._settings):
            wake = await self._scripts.redis.blpop(
                [f"{self._settings.root_key}:wake"], timeout=timeout_s
            )
        return wake is not None

    async def find_lost(self, limit: int) -> list[LostJob]:
        """Jobs on workers whose lease has ended.

        After a long time without a recovery pass it finds none for half a lease: the store may have
        been away, and living workers could not renew their leases.
        """
        lease_s, tick_s = self._settings.lease_s, self._settings.tick_s
        gap_ms = ms(max(lease_s / 2, 4 * tick_s))
        flat = await self._scripts.call("find_lost", limit, gap_ms, ms(lease_s / 2))
        return [row.record() for row in rows_of(LostRow, flat)]

    async def take_unstarted(self, limit: int, *, hold_s: float) -> list[UnstartedClaim]:
        """Claims whose job is to be published, hidden from other callers for ``hold_s``.

        Those are claims whose job was not published in time, and claims whose job has not started
        for a lease though a worker has room for it.
        """
        args = (limit, ms(hold_s), ms(self._settings.lease_s))
        flat = await self._scripts.call("take_unstarted", *args)
        return [row.record() for row in rows_of(UnstartedRow, flat)]

    async def close_claims(self, claim_ids: Iterable[str], *, reason: str) -> ClosedClaims:
        """Forget claims whose token is closed."""
        unfinished, ended = await self._scripts.call("close", reason, *claim_ids)
        return ClosedClaims(
            unfinished=[row.record() for row in rows_of(UnfinishedRow, unfinished)],
            ended=[row.record() for row in rows_of(EndedRow, ended)],
        )

    async def take_heartbeats(self, limit: int) -> DueHeartbeats:
        """Take tokens that are due for a heartbeat and may have one; due again in one interval.

        Claims that may have no heartbeat any more are settled as failures: those whose jobs waited
        past their patience, and those whose jobs have manual heartbeats and have fallen silent.
        """
        patience_s = self._settings.patience_s
        looked, given_up, due = await self._scripts.call(
            "take_heartbeats",
            limit,
            _not_started(patience_s).dump(),
            _HEARTBEAT_LOST.dump(),
            INTERVALS_PER_HEARTBEAT_SECONDS,
        )
        return DueHeartbeats(
            heartbeats=[row.record() for row in rows_of(HeartbeatRow, due)],
            looked=looked,
            given_up=[row.record() for row in rows_of(UnfinishedRow, given_up)],
        )

    async def retry_heartbeat(self, heartbeat: DueHeartbeat, delay_s: float) -> bool:
        """Let a heartbeat that failed be due again after the delay, before its interval is over."""
        args = (heartbeat.claim_id, ms(delay_s), heartbeat.missed_ms)
        return bool(await self._scripts.call("retry_heartbeat", *args))

    async def watch_clock(self) -> None:
        """Check whether Redis' clock has jumped; to be called once in each tick interval."""
        await self._clock.look()

    async def note_beat_pass(self, kind: PassKind) -> None:
        """Note that a beat process begins a pass of this kind."""
        await self._scripts.call("note_beat_pass", kind)

    async def is_overdue(self, kind: PassKind, after_s: float, *, of_beat: bool = False) -> bool:
        """Whether no pass of this kind has begun for ``after_s``.

        Args:
            of_beat: Whether only passes of beat processes count, and none of a stand-in.
        """
        name = f"beat:{kind}" if of_beat else kind
        return bool(await self._scripts.call("is_overdue", name, ms(after_s)))

    async def hold_polls(self, places: Iterable[str], hold_s: float = POLLS_HELD_S) -> None:
        """Let no poller open polls there for a while: reports or heartbeats are throttled.

        Args:
            places: Region and account of each; empty: the process's own.
        """
        for place in places:
            await self._scripts.call("hold_polls", ms(hold_s), place)

    async def close(self) -> None:
        """Close the connections."""
        await self._scripts.redis.aclose()
        await self._scripts.redis.connection_pool.disconnect()
