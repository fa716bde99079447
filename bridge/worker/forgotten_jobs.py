"""Recover jobs that ended on this worker without an outcome, and without a signal of Celery."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from bridge.app_state import Installation
from bridge.errors import ErrorName
from bridge.model import Job, Outcome
from bridge.worker.occupancy import OccupancyReader

logger = logging.getLogger(__name__)


class ForgottenJobs:
    """Jobs that the store has as running on this worker, and that Celery no longer has.

    Args:
        worker_id: The worker's id in the store.
        interval_s: How long Celery must be without the job. For a moment, while the broker is away,
            Celery may drop the request of a job that its pool has begun to run.
    """

    def __init__(
        self, bridge: Installation, occupancy: OccupancyReader, *, worker_id: str, interval_s: float
    ) -> None:
        self._bridge, self._occupancy = bridge, occupancy
        self._worker_id, self._interval_s = worker_id, interval_s
        # Claim → when Celery had its job last, by the monotonic clock.
        self._had: dict[str, float] = {}

    def recover(self, forgotten: Iterable[Job], claims: Iterable[str]) -> None:
        """Recover those of the jobs that Celery has not had for long enough.

        Args:
            forgotten: The jobs that the store names; see ``Renewal``.
            claims: The claims whose jobs Celery had when the lease was renewed.
        """
        now = time.monotonic()
        self._had |= dict.fromkeys(claims, now)
        here = self._occupancy.claims()
        for job in forgotten:
            gone_s = now - self._had.setdefault(job.claim_id, now)
            if job.claim_id in here or gone_s < self._interval_s:
                continue
            cause = f"the job ended on worker {self._worker_id} without an outcome"
            outcome = Outcome.failure(ErrorName.WORKER_LOST, cause)
            answer = self._bridge.jobs.recover(
                job, worker=self._worker_id, outcome=outcome, job_is_gone=True
            )
            logger.error("job %s ended here without an outcome: %s", job.id, answer)
        oldest = now - 4 * self._interval_s
        self._had = {claim: had for claim, had in self._had.items() if had > oldest}
