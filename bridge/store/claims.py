"""The store as the processes with AWS credentials see it: claims, tokens, schedules. Asyncio."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bridge.errors import ErrorName
from bridge.model import Claim, Job, Outcome
from bridge.settings import Settings
from bridge.store.clock import ClockWatch
from bridge.store.connection import SOCKET_TIMEOUT_S, ms, translated
from bridge.store.records import (
    ClosedClaims,
    DueHeartbeat,
    DueHeartbeats,
    DueReports,
    EndedClaim,
    Grant,
    LostJob,
    PassKind,
    PendingReport,
    PollRefusal,
    UnfinishedJob,
    UnstartedClaim,
    Wish,
)
from bridge.store.scripts import AsyncScripts

# A blocking pop must come home before the socket's time-out calls it a broken connection.
MAX_WAIT_S = SOCKET_TIMEOUT_S / 2
DISPATCH_GRACE_TICKS = 2
"""A claim whose poller has not noted its dispatch for so long is dispatched by recovery."""
POLLS_HELD_S = 3.0
"""While calls that matter more are throttled, no poll is opened for so long."""


_HEARTBEAT_LOST = Outcome.failure(
    ErrorName.HEARTBEAT_LOST,
    "the job has heartbeat='manual' and has not called bridge.current().heartbeat() for five "
    "heartbeat intervals",
)


def _not_started(patience_s: float) -> Outcome:
    cause = f"no worker has started the job within BRIDGE_PATIENCE_S={patience_s:g} s"
    return Outcome.failure(ErrorName.NOT_STARTED, cause)


def _seconds(milliseconds: int) -> float | None:
    return None if milliseconds < 0 else milliseconds / 1000


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
        """Make a claim durable and turn the poll that brought it into it; False: it was there.

        Args:
            interval_s: Between heartbeats.
            manual: Whether the job itself must say that it is alive.
            max_attempts: How often it may run when workers die under it; 1: never again.
        """
        args = (
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
        return bool(await self._scripts.call("store_claim", *args))

    async def mark_queued(self, job: Job) -> bool:
        """Note that the job was published; False when the claim has moved on already."""
        return (await self.mark_all_queued([job]))[0]

    async def mark_all_queued(self, jobs: Sequence[Job]) -> list[bool]:
        """The same of several jobs."""
        parts = [part for job in jobs for part in (job.claim_id, job.attempt)]
        answers = await self._scripts.call("mark_queued", ms(self._settings.lease_s), *parts)
        return [bool(noted) for noted in answers]

    async def grant_polls(self, poller: str, wishes: Sequence[Wish]) -> Grant:
        """Ask the ledger for polls; also says that this poller lives."""
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
        slots, *rows = await self._scripts.call("grant_polls", *args)
        return Grant(
            int(slots), [int(n) for n in rows[::2]], [PollRefusal(why) for why in rows[1::2]]
        )

    async def withdraw_poller(self, poller: str) -> bool:
        """Forget a poller that has ended in order; False when it was not known."""
        return bool(await self._scripts.call("withdraw_poller", poller))

    async def take_outbox(self, limit: int, *, hold_s: float, overdue_s: float = 0.0) -> DueReports:
        """Take outcomes that are due, hidden from other reporters for ``hold_s``.

        Args:
            overdue_s: Only those that nobody took for so long.
        """
        args = (limit, ms(hold_s), ms(overdue_s))
        next_due_ms, *rows = await self._scripts.call("take_outbox", *args)
        reports = [
            PendingReport(
                claim_id=rows[i],
                token=rows[i + 1],
                outcome=Outcome.load(rows[i + 2]),
                activity=rows[i + 3],
                waited_s=rows[i + 4] / 1000,
            )
            for i in range(0, len(rows), 5)
        ]
        return DueReports(reports, None if int(next_due_ms) < 0 else int(next_due_ms) / 1000)

    async def postpone_report(self, claim_id: str, delay_s: float) -> bool:
        """Try to report again after the delay; False when it is no longer in the outbox."""
        return bool(await self._scripts.call("postpone_report", claim_id, ms(delay_s)))

    async def wait_for_outcome(self, timeout_s: float) -> bool:
        """Wait until something comes into the outbox; False after ``timeout_s``, at most 2.5 s."""
        timeout_s = max(0.01, min(timeout_s, MAX_WAIT_S))
        with translated(self._settings):
            wake = await self._scripts.redis.blpop(
                [f"{self._settings.root_key}:wake"], timeout=timeout_s
            )
        return wake is not None

    async def find_lost(self, limit: int) -> list[LostJob]:
        """Jobs on workers whose lease has ended.

        None for half a lease after nobody has asked for so long: the store was away, perhaps, and
        living workers could not renew.
        """
        lease_s, tick_s = self._settings.lease_s, self._settings.tick_s
        gap_ms = ms(max(lease_s / 2, 4 * tick_s))
        rows = await self._scripts.call("find_lost", limit, gap_ms, ms(lease_s / 2))
        return [
            LostJob(Job(rows[i], int(rows[i + 1])), rows[i + 2], rows[i + 3])
            for i in range(0, len(rows), 4)
        ]

    async def take_unstarted(self, limit: int, *, hold_s: float) -> list[UnstartedClaim]:
        """Claims whose job was not published in time, hidden from others for ``hold_s``.

        And those whose job has not started for a lease, though a worker has room for it.
        """
        args = (limit, ms(hold_s), ms(self._settings.lease_s))
        rows = await self._scripts.call("take_unstarted", *args)
        return [
            UnstartedClaim(
                Claim(rows[i], rows[i + 1], rows[i + 4], int(rows[i + 2])), int(rows[i + 3])
            )
            for i in range(0, len(rows), 5)
        ]

    async def close_claims(self, claim_ids: Iterable[str], *, reason: str) -> ClosedClaims:
        """Forget claims whose token is closed."""
        n, *rows = await self._scripts.call("close", reason, *claim_ids)
        ended = rows[3 * n :]
        return ClosedClaims(
            [
                UnfinishedJob(Job(rows[i], int(rows[i + 1])), rows[i + 2])
                for i in range(0, 3 * n, 3)
            ],
            [
                EndedClaim(*ended[i : i + 3], *map(_seconds, ended[i + 3 : i + 6]))
                for i in range(0, len(ended), 6)
            ],
        )

    async def take_heartbeats(self, limit: int) -> DueHeartbeats:
        """Take tokens that are due and have somebody to speak for; due again in one interval.

        Those for whom nobody will speak again are settled as failures: jobs that waited past their
        patience, and jobs with manual heartbeats that have fallen silent for good.
        """
        patience_s = self._settings.patience_s
        args = (limit, _not_started(patience_s).dump(), _HEARTBEAT_LOST.dump())
        looked, n, *rows = await self._scripts.call("take_heartbeats", *args)
        given_up = [
            UnfinishedJob(Job(rows[i], int(rows[i + 1])), rows[i + 2]) for i in range(0, 3 * n, 3)
        ]
        rows = rows[3 * n :]
        beats = [
            DueHeartbeat(
                rows[i], rows[i + 1], int(rows[i + 2]) / 1000, int(rows[i + 3]), rows[i + 4]
            )
            for i in range(0, len(rows), 5)
        ]
        return DueHeartbeats(beats, int(looked), given_up)

    async def retry_heartbeat(self, beat: DueHeartbeat, delay_s: float) -> bool:
        """One did not get through: beat again after the delay, before the interval is over."""
        args = (beat.claim_id, ms(delay_s), beat.missed_ms)
        return bool(await self._scripts.call("retry_heartbeat", *args))

    async def watch_clock(self) -> None:
        """See whether Redis' clock has jumped; what keeps tokens alive calls it once a tick."""
        await self._clock.look()

    async def note_beat_pass(self, kind: PassKind) -> None:
        """A beat process begins a pass of this kind."""
        await self._scripts.call("note_beat_pass", kind)

    async def is_overdue(self, kind: PassKind, after_s: float, *, of_beat: bool = False) -> bool:
        """Whether nobody has begun a pass of this kind for so long.

        Args:
            of_beat: Whether no beat process has; who stands in for one does not count.
        """
        name = f"beat:{kind}" if of_beat else kind
        return bool(await self._scripts.call("is_overdue", name, ms(after_s)))

    async def hold_polls(self, places: Iterable[str], hold_s: float = POLLS_HELD_S) -> None:
        """Let no poller open polls there for some time: calls that matter more are throttled.

        Args:
            places: Region and account of each; empty: the process's own.
        """
        for place in places:
            await self._scripts.call("hold_polls", ms(hold_s), place)

    async def close(self) -> None:
        """Close the connections."""
        await self._scripts.redis.aclose()
        await self._scripts.redis.connection_pool.disconnect()
