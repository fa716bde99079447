"""Keep a worker's lease: announce to the store that the worker lives, and what occupies it.

A thread of the worker's parent process renews the lease until the process exits: in a warm shutdown
the pool still runs jobs long after Celery has stopped the worker's timers. Four times a second the
thread also looks whether what the worker announces has changed, and then renews at once.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from typing import Any

from bridge.app_state import Installation, adopt_worker_id
from bridge.errors import SchemaMismatch, StoreUnavailable
from bridge.support.backoff import LEASE_RETRY_S
from bridge.support.log_limiter import LogLimiter
from bridge.worker.forgotten_jobs import ForgottenJobs
from bridge.worker.occupancy import Announcement, OccupancyReader
from bridge.worker.unwanted_jobs import UnwantedJobs

logger = logging.getLogger(__name__)

LEAVE_TIMEOUT_S = 6.0
"""How long a worker that ends waits for a renewal that has been sent, in seconds."""
SAMPLE_S = 0.25
"""How often the worker looks whether what it announces has changed."""
CHANGES_A_SECOND = 1.0
"""How often a second the lease is renewed for changes that do not stop, such as ordinary tasks that
begin and end."""
CHANGES_AT_ONCE = 4
"""How many changes are announced at once, before that rate applies."""


class Lease:
    """The lease of one worker, renewed every third of its time and when what it announces changes.

    Args:
        worker: Celery's ``WorkController``.
    """

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
        self._logged: Announcement | None = None
        self._forgotten = ForgottenJobs(
            bridge, self._occupancy, worker_id=self._id, interval_s=self._interval_s
        )
        self._unwanted = UnwantedJobs(bridge, worker, self._occupancy, interval_s=self._interval_s)
        self._revoked: set[str] = set()

    def start(self) -> None:
        """Announce the worker now, and keep its lease until the process exits."""
        self._thread = threading.Thread(
            target=self._renew_for_ever, name="bridge-lease", daemon=True
        )
        self._thread.start()
        # When the process exits, after every kind of shutdown, no pool runs a job: children have
        # ended, threads have been joined. The lease of a killed worker runs out.
        atexit.register(self._leave)

    def drain(self) -> None:
        """Announce no slots from now on; running jobs go on."""
        self._draining = True
        self._wake.set()

    def _leave(self) -> None:
        if os.getpid() != self._pid:
            return
        self._ended = True
        self._wake.set()
        self._thread.join(LEAVE_TIMEOUT_S)  # else a late renewal would bring the lease back
        if self._thread.is_alive():
            logger.warning("the store does not answer; the lease of %s runs out", self._id)
            return
        try:
            held = self._bridge.jobs.end_lease(self._id)
        except StoreUnavailable as exc:
            logger.warning("%s This worker's lease runs out.", exc)
        else:
            if held:
                logger.warning("worker %s hands back %d unfinished jobs", self._id, held)

    def _renew_for_ever(self) -> None:
        while not self._ended:
            # Cleared before the sample, so that a drain that begins after it is announced too.
            self._wake.clear()
            now = time.monotonic()
            seen = self._occupancy.sample(draining=self._draining)
            if now >= self._due or (self._has_changed(seen) and self._changes.take(now)):
                self._due = now + self._renew(seen)
            self._wake.wait(max(0.0, min(SAMPLE_S, self._due - time.monotonic())))

    def _has_changed(self, seen: Announcement) -> bool:
        """Whether something has changed that the store must know before the next renewal.

        That a claim begins or ends does not count: its start and its outcome tell the store. The
        end of an unwanted job does count, because it frees a slot and no other call tells the
        store. A claim is known to be closed from the last renewal, or because its job was revoked.
        """
        self._revoked |= self._occupancy.revoked()
        if self._announced is None:  # the last try failed; the next is due soon
            return False
        unwanted = self._unwanted.claims | self._revoked
        gone = unwanted - self._occupancy.active() if unwanted else ()
        return seen != self._announced or bool(gone)

    def _renew(self, seen: Announcement) -> float:
        """Renew the lease; return the seconds until the next renewal."""
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
                    "the lease of worker %s had ended before it was renewed: its jobs may run "
                    "elsewhere too",
                    self._id,
                )
            self._is_known, self._announced = True, seen
            self._revoked &= active
            self._log_change(seen)
            self._forgotten.recover(renewal.forgotten, claims)
            self._unwanted.terminate(renewal.unwanted)
        except (SchemaMismatch, StoreUnavailable) as exc:
            # A worker without activities may work for days beside a store of another schema.
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
        was, self._logged = self._logged, seen
        if was is None or (was.slots, was.queues) == (seen.slots, seen.queues):
            return
        logger.info(
            "worker %s announces %s (was %s)", self._worker.hostname, _offer(seen), _offer(was)
        )


class _Allowance:
    """Allows ``at_once`` calls at once, and then ``a_second`` calls a second."""

    def __init__(self, a_second: float, at_once: int) -> None:
        self._a_second, self._at_once = a_second, at_once
        self._left, self._at = float(at_once), time.monotonic()

    def take(self, now: float) -> bool:
        """Take one call; whether there was one to take."""
        self._left = min(self._at_once, self._left + (now - self._at) * self._a_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _offer(seen: Announcement) -> str:
    slots = f"{seen.slots} slot" + ("" if seen.slots == 1 else "s")
    return f"{slots} in {', '.join(seen.queues) or 'no queue'}"
