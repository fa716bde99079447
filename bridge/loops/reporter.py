"""Deliver stored outcomes to Step Functions.

The reporter takes outcomes that are due from the outbox, sends each, and closes its claim. If it
crashes after Step Functions has accepted an outcome and before the claim is closed, the outcome is
sent again. Step Functions then answers TaskTimedOut, as it does for an outcome that is too late; so
such a claim is closed, not failed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from bridge.errors import (
    BridgeError,
    EncryptionKeyUnavailable,
    ErrorName,
    InvalidRequest,
    StoreUnavailable,
    TokenClosed,
)
from bridge.metrics import OFF, Meters
from bridge.model import Outcome
from bridge.stepfunctions import Clients
from bridge.store import ClaimStore, PendingReport, UnfinishedJob
from bridge.support.backoff import LOOP_RETRY_S, REPORT
from bridge.support.killpoints import KillPoint, passing
from bridge.support.log_limiter import LogLimiter

logger = logging.getLogger(__name__)

HOLD_S = 30.0
"""How long a taken outcome is hidden from other reporters; longer than a report takes."""
LOG_EVERY_S = 10.0
"""While an outage postpones many reports, one line is logged in this time."""
KMS_PATIENCE_S = 900.0
"""How long an outcome is sent again that the KMS key of an encrypted activity refuses: the key's
policy may be corrected. After this time, a failure with neither error nor cause, which needs no
key, ends the state."""
IDLE_S = 2.0

REPORTED = "reported"
"""The reason for which a claim is closed when Step Functions has taken its outcome."""

BARE = Outcome()
"""A failure with neither error nor cause; sent when Step Functions refuses all others."""
REFUSED = ErrorName.FAILURE_REFUSED.value
"""What metrics call a bare failure."""

OnUnfinished = Callable[[UnfinishedJob], None]


class Reporter:
    """Sends the outcomes in the outbox.

    Args:
        on_unfinished: Called with each job that still runs when its claim is closed, because an
            older attempt has settled it.
        on_closing: Called just before a claim is closed and its slot becomes free.
    """

    def __init__(
        self,
        *,
        clients: Clients,
        store: ClaimStore,
        concurrent_calls: int,
        on_unfinished: OnUnfinished,
        on_closing: Callable[[], None] = lambda: None,
        meters: Meters = OFF,
    ) -> None:
        self._clients = clients
        self._store = store
        self._limit = concurrent_calls
        self._on_unfinished = on_unfinished
        self._on_closing = on_closing
        self._meters = meters
        self._sending: set[asyncio.Task[None]] = set()
        self._log_limiter = LogLimiter(logger, every_s=LOG_EVERY_S)
        self._stopping = False

    async def run(self) -> None:
        """Report each outcome as soon as it is in the outbox, until ``stop``."""
        while not self._stopping:
            try:
                wait_s = await self._send_due(overdue_s=0.0)
                if len(self._sending) >= self._limit:
                    await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
                elif wait_s > 0:
                    await self._store.wait_for_outcome(wait_s)
            except StoreUnavailable as exc:
                logger.warning("nothing is reported: %s", exc)
                await asyncio.sleep(LOOP_RETRY_S)
            except Exception:
                logger.exception("the reporter's loop failed; it goes on")
                await asyncio.sleep(LOOP_RETRY_S)
        if self._sending:
            await asyncio.wait(self._sending)

    async def flush(self, *, overdue_s: float) -> int:
        """Report the outcomes that have been due for ``overdue_s``; how many it tried to send."""
        tried = 0
        while True:
            before = len(self._sending)
            wait_s = await self._send_due(overdue_s=overdue_s)
            tried += len(self._sending) - before
            if self._sending:
                await asyncio.wait(self._sending)
            elif wait_s > 0:
                return tried

    def stop(self) -> None:
        """Take no more outcomes, and let the calls that are under way go on to their end."""
        self._stopping = True

    async def _send_due(self, *, overdue_s: float) -> float:
        """Begin to send what is due; seconds until more is due, 0: now."""
        room = self._limit - len(self._sending)
        if room <= 0:
            return 0.0
        due = await self._store.take_outbox(room, hold_s=HOLD_S, overdue_s=overdue_s)
        for report in due.reports:
            task = asyncio.create_task(self._send(report))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        if len(due.reports) == room:
            return 0.0
        return IDLE_S if due.next_due_s is None else max(due.next_due_s, 0.01)

    async def _send(self, report: PendingReport) -> None:
        try:
            reason, sent = await self._deliver(report, report.outcome)
            passing(KillPoint.AFTER_REPORT_BEFORE_NOTE)
            self._on_closing()  # the poller asks for the free slot in the same round trip
            closed = await self._store.close_claims([report.claim_id], reason=reason)
            for unfinished in closed.unfinished:
                self._on_unfinished(unfinished)
            for ended in closed.ended:
                error = REFUSED if sent is BARE else sent.error
                self._meters.reported(ended, error, taken=reason == REPORTED)
        except BridgeError as exc:
            await self._postpone(report, exc)
        except Exception as exc:
            logger.exception("claim %s was not reported; it is tried again", report.claim_id)
            await self._postpone(report, exc)
        with suppress(StoreUnavailable):  # without the store no poll is opened
            await self._store.hold_polls(self._clients.throttled)

    async def _deliver(self, report: PendingReport, outcome: Outcome) -> tuple[str, Outcome]:
        """Send the outcome; the reason to close its claim, and the outcome that was sent."""
        client = self._clients.of(report.activity)
        try:
            if outcome.output is not None:
                await client.send_task_success(report.token, outcome.output)
            else:
                await client.send_task_failure(
                    report.token, error=outcome.error, cause=outcome.cause
                )
            return REPORTED, outcome
        except TokenClosed as exc:
            logger.warning(
                "the outcome of claim %s came too late, or twice: Step Functions says %s",
                report.claim_id,
                exc.code,
            )
            return exc.code, outcome
        except (InvalidRequest, EncryptionKeyUnavailable) as exc:
            may_change = isinstance(exc, EncryptionKeyUnavailable) and (
                exc.code == "KmsThrottlingException" or report.waited_s < KMS_PATIENCE_S
            )
            if outcome is BARE or may_change:
                raise
            # Without an outcome, the state would wait until its time-out.
            what = "output" if outcome.ok else f"failure {outcome.error}"
            logger.error(  # noqa: TRY400
                "Step Functions refuses the %s of claim %s: %s",
                what,
                report.claim_id,
                exc,
            )
            substitute = Outcome.failure(ErrorName.OUTPUT_REFUSED, str(exc)) if outcome.ok else BARE
            return await self._deliver(report, substitute)

    async def _postpone(self, report: PendingReport, exc: Exception) -> None:
        self._meters.postponed(type(exc).__name__)
        # The pause follows from how long the report has waited, so that another reporter that takes
        # it next continues the same back-off.
        delay_s = REPORT.pause_after_s(report.waited_s)
        if self._log_limiter.passes():
            left_out = self._log_limiter.left_out
            others = f", as {left_out} others are" if left_out else ""
            logger.warning(
                "claim %s is reported again in %.1f s%s: %s", report.claim_id, delay_s, others, exc
            )
        try:
            await self._store.postpone_report(report.claim_id, delay_s)
        except StoreUnavailable:
            logger.warning("claim %s is reported again in %.0f s", report.claim_id, HOLD_S)
