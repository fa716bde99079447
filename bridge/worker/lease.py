"""A worker's lease: the store hears that the worker lives, what it can take, and what occupies it.

A thread of the worker's parent process renews the lease until the process exits: in a warm shutdown
the pool still runs jobs long after Celery has stopped the worker's timers. The thread also looks
four times a second whether what the worker announces has changed, and then renews at once.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterable
from typing import Any

from kombu.exceptions import OperationalError

from bridge.app_state import Installation, adopt_worker_id
from bridge.errors import ErrorName, SchemaMismatch, StoreUnavailable
from bridge.model import Job, Outcome
from bridge.registry import ACTIVITY_HEADER
from bridge.support.backoff import LEASE_RETRY_S
from bridge.support.log_limiter import LogLimiter
from bridge.worker.occupancy import Announcement, OccupancyReader, active_requests

logger = logging.getLogger(__name__)

LEAVE_TIMEOUT_S = 6.0
"""How long a worker that ends waits for a renewal of its lease that is on its way."""
SAMPLE_S = 0.25
"""How often the worker looks whether what it announces has changed."""
CHANGES_A_SECOND = 1.0
"""How often the lease is renewed for changes, where they do not cease, such as ordinary tasks that
come and go."""
CHANGES_AT_ONCE = 4
"""How many changes are announced with the sample that finds them, before that rate holds."""


class Lease:
    """One worker's lease, renewed every third of its time, and when what it announces changes."""

    def __init__(self, bridge: Installation, worker: Any) -> None:
        self._bridge = bridge
        self._worker = worker
        self._id = adopt_worker_id(worker.hostname)
        self._occupancy = OccupancyReader(worker, bridge.registry.task_names)
        self._draining = False
        self._ended = False
        self._pid = os.getpid()
        self._wake = threading.Event()
        self._log_limiter = LogLimiter(logger)
        self._interval_s = bridge.settings.lease_s / 3
        self._changes = _Allowance(CHANGES_A_SECOND, CHANGES_AT_ONCE)
        self._due = 0.0
        self._number = 0
        self._is_known = False
        self._announced: Announcement | None = None
        self._said: Announcement | None = None
        self._had: dict[str, float] = {}
        self._unwanted: dict[str, float] = {}
        self._revoked: set[str] = set()

    def start(self) -> None:
        """Announce the worker, now and for as long as the process lives."""
        self._thread = threading.Thread(
            target=self._renew_for_ever, name="bridge-lease", daemon=True
        )
        self._thread.start()
        # At exit, after every kind of shutdown, nothing runs any more in any pool: children are
        # gone, threads have been joined. A killed worker's lease ends by itself.
        atexit.register(self._leave)

    def drain(self) -> None:
        """Announce no slots any more; what runs goes on."""
        self._draining = True
        self._wake.set()

    def _leave(self) -> None:
        if os.getpid() != self._pid:
            return
        self._ended = True
        self._wake.set()
        self._thread.join(LEAVE_TIMEOUT_S)  # or a late renewal would bring the lease back
        if self._thread.is_alive():
            logger.warning("the store does not answer; the lease of %s ends by itself", self._id)
            return
        try:
            held = self._bridge.jobs.end_lease(self._id)
        except StoreUnavailable as exc:
            logger.warning("%s This worker's lease ends by itself.", exc)
        else:
            if held:
                logger.warning("worker %s hands back %d unfinished jobs", self._id, held)

    def _renew_for_ever(self) -> None:
        while not self._ended:
            # Before the sample: a drain that begins after it must be announced too.
            self._wake.clear()
            now = time.monotonic()
            seen = self._occupancy.sample(draining=self._draining)
            if now >= self._due or (self._has_changed(seen) and self._changes.take(now)):
                self._due = now + self._renew(seen)
            self._wake.wait(max(0.0, min(SAMPLE_S, self._due - time.monotonic())))

    def _has_changed(self, seen: Announcement) -> bool:
        """Whether the store is to hear of it before the lease is due.

        A claim that begins or ends is no reason: the store knows by its start and its outcome. But
        of an unwanted one it hears nothing, and its slot is free once its job has ended. That a
        claim was closed is known here by the last renewal, or by the revocation of its job.
        """
        self._revoked |= self._occupancy.revoked()
        if self._announced is None:  # the last try failed; the next is due soon
            return False
        unwanted = self._unwanted.keys() | self._revoked
        gone = unwanted - self._occupancy.active() if unwanted else ()
        return seen != self._announced or bool(gone)

    def _renew(self, seen: Announcement) -> float:
        """Renew the lease; seconds until it is due again."""
        self._number += 1
        self._announced = None
        try:
            claims, active = self._occupancy.claims(), self._occupancy.active()
            renewal = self._bridge.jobs.renew_lease(
                self._id,
                number=self._number,
                slots=seen.slots,
                queues=seen.queues,
                ordinary=seen.ordinary,
                fetches=seen.fetches,
                claim_ids=claims,
                active=active,
                held_back=seen.held_back,
            )
            if self._is_known and not renewal.renewed:
                logger.warning(
                    "the lease of worker %s had ended before it was renewed: what it runs may "
                    "run elsewhere too",
                    self._id,
                )
            self._is_known, self._announced = True, seen
            self._revoked &= active
            self._log_change(seen)
            self._bring_outcomes(renewal.forgotten, claims)
            self._stop_unwanted(renewal.unwanted)
        except (SchemaMismatch, StoreUnavailable) as exc:
            # A store of another schema may stay for days, beside a worker that needs no lease.
            self._log_limiter.warning(
                exc,
                "lease of worker %s not renewed: %s. It is tried again until it is%s; this is "
                "logged once a minute.",
                self._id,
                str(exc).rstrip("."),
                self._consequence(seen),
            )
            return min(LEASE_RETRY_S, self._interval_s / 5)
        except Exception:
            logger.exception("lease of worker %s not renewed; the next try follows", self._id)
        return self._interval_s

    def _consequence(self, seen: Announcement) -> str:
        served = sorted({*self._bridge.registry.queues} & {*seen.queues})
        if not served:
            return ""
        return f", and jobs of {', '.join(served)} that wait for it here go back to their queues"

    def _log_change(self, seen: Announcement) -> None:
        said, self._said = self._said, seen
        if said is None or (said.slots, said.queues) == (seen.slots, seen.queues):
            return
        logger.info(
            "worker %s announces %s (was %s)", self._worker.hostname, _offer(seen), _offer(said)
        )

    def _bring_outcomes(self, forgotten: Iterable[Job], claims: Iterable[str]) -> None:
        """Jobs that ended here, and whose ending no hook of Celery has seen.

        Only once they are gone for as long as a lease is renewed at least: Celery may drop a
        request for a moment that its pool has begun to run, while the broker is away.
        """
        now = time.monotonic()
        self._had |= dict.fromkeys(claims, now)
        here = self._occupancy.claims()
        for job in forgotten:
            gone_s = now - self._had.setdefault(job.claim_id, now)
            if job.claim_id in here or gone_s < self._interval_s:
                continue
            cause = f"the job ended on worker {self._id} without an outcome"
            outcome = Outcome.failure(ErrorName.WORKER_LOST, cause)
            answer = self._bridge.jobs.recover(
                job, worker=self._id, outcome=outcome, job_is_gone=True
            )
            logger.error("job %s ended here without an outcome: %s", job.id, answer)
        ends = now - 4 * self._interval_s
        self._had = {claim: had for claim, had in self._had.items() if had > ends}

    def _stop_unwanted(self, unwanted: frozenset[str]) -> None:
        """Terminate what asks for it; a revocation sent when its claim was closed may be lost.

        Only what has been unwanted for as long as a lease is renewed at least: between the outcome
        of a job and its acknowledgement its claim may be closed already, and the process on its way
        to the next job.
        """
        now = time.monotonic()
        self._unwanted = {claim: self._unwanted.get(claim, now) for claim in unwanted}
        for request in active_requests():
            job = self._occupancy.job_of(request)
            if job is None or now - self._unwanted.get(job.claim_id, now) < self._interval_s:
                continue
            activity = self._bridge.registry.of_job(
                request.request_dict.get(ACTIVITY_HEADER), self._worker.app.tasks.get(request.type)
            )
            if activity is not None and activity.terminate_on_cancel:
                logger.warning(
                    "job %s still runs though its claim is closed, or runs elsewhere: terminated",
                    job.id,
                )
                # Not here: while the broker is away the call hangs, and the lease would end.
                threading.Thread(target=self._terminate, args=(request.id,), daemon=True).start()

    def _terminate(self, task_id: str) -> None:
        try:
            self._worker.app.control.revoke(
                task_id, terminate=True, destination=[self._worker.hostname]
            )
        except (OperationalError, OSError) as exc:
            logger.warning("job %s is not terminated: %s", task_id, exc)


class _Allowance:
    """A number of times at once, then so many a second."""

    def __init__(self, a_second: float, at_once: int) -> None:
        self._a_second, self._at_once = a_second, at_once
        self._left, self._at = float(at_once), time.monotonic()

    def take(self, now: float) -> bool:
        """Whether it may be done once more now."""
        self._left = min(self._at_once, self._left + (now - self._at) * self._a_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _offer(seen: Announcement) -> str:
    slots = f"{seen.slots} slot" + ("" if seen.slots == 1 else "s")
    return f"{slots} in {', '.join(seen.queues) or 'no queue'}"
