"""Calculate the metric that an autoscaler of workers follows, for CloudWatch and Prometheus."""

from __future__ import annotations

from bridge.registry import serves_users
from bridge.store import SlotUsage, Status

MOST = 1.25
"""The upper bound of the metric, and so of how much an autoscaler adds at once.

Behind full slots, the waiting room may hold four claims a slot if jobs are short, and none if they
are long. So the number of waiting claims does not tell how many workers are missing. With a target
of 0.8 an autoscaler adds at most 56 % at a time (1.25 / 0.8); then the metric is measured again.
"""


def backlog_per_slot(status: Status) -> float | None:
    """Occupied slots, and claims that wait for one, divided by slots; None without a slot.

    Above 1, all slots are occupied and claims wait. Some things do not count, because more workers
    would not help: claims in a countdown, claims that workers hold back for a ``rate_limit``,
    claims in a queue that no live worker serves, and what draining workers run.
    """
    offering = [
        worker
        for worker in status.workers
        if worker.live and worker.slots > 0 and serves_users(worker.queues)
    ]
    slots = sum(worker.slots for worker in offering)
    if not slots:
        return None
    occupied = SlotUsage.of(offering).occupied
    served = {queue for worker in offering for queue in worker.queues}
    waiting = sum(
        claims
        for activity in status.activities
        for queue, claims in activity.waiting_in.items()
        if queue in served
    )
    return min(MOST, (occupied + waiting) / slots)
