"""Terminate running jobs whose claim is closed or runs elsewhere, if their task asks for it.

Each such job was revoked when its claim was closed. The message that revokes it may be lost, so the
store names these claims in its answer to each renewal of the worker's lease.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Set as AbstractSet
from typing import Any

from kombu.exceptions import OperationalError

from bridge.app_state import Installation
from bridge.registry import ACTIVITY_HEADER
from bridge.worker.celery_state import active_requests
from bridge.worker.occupancy import OccupancyReader

logger = logging.getLogger(__name__)


class UnwantedJobs:
    """Jobs that this worker runs although their claim is closed or runs elsewhere.

    Args:
        worker: Celery's ``WorkController``.
        interval_s: How long a job must be unwanted before it is terminated. A job that has just
            ended is unwanted for a moment if its claim is closed before its message is
            acknowledged. It must not be terminated, because its process may begin the next job.
    """

    def __init__(
        self, bridge: Installation, worker: Any, occupancy: OccupancyReader, *, interval_s: float
    ) -> None:
        self._bridge, self._worker, self._occupancy = bridge, worker, occupancy
        self._interval_s = interval_s
        # Claim → since when its job is unwanted, by the monotonic clock.
        self._since: dict[str, float] = {}

    @property
    def claims(self) -> AbstractSet[str]:
        """The unwanted claims, as of the last renewal."""
        return self._since.keys()

    def terminate(self, unwanted: frozenset[str]) -> None:
        """Terminate the jobs of these claims that have been unwanted for long enough."""
        now = time.monotonic()
        self._since = {claim: self._since.get(claim, now) for claim in unwanted}
        for request in active_requests():
            job = self._occupancy.job_of(request)
            if job is None or now - self._since.get(job.claim_id, now) < self._interval_s:
                continue
            activity = self._bridge.registry.of_job(
                request.request_dict.get(ACTIVITY_HEADER), self._worker.app.tasks.get(request.type)
            )
            if activity is not None and activity.terminate_on_cancel:
                logger.warning(
                    "job %s still runs though its claim is closed, or runs elsewhere: terminated",
                    job.id,
                )
                # In a thread of its own: while the broker is away the call hangs, and meanwhile the
                # lease would end.
                threading.Thread(target=self._terminate, args=(request.id,), daemon=True).start()

    def _terminate(self, task_id: str) -> None:
        try:
            self._worker.app.control.revoke(
                task_id, terminate=True, destination=[self._worker.hostname]
            )
        except (OperationalError, OSError) as exc:
            logger.warning("job %s is not terminated: %s", task_id, exc)
