"""The one figure that an autoscaler of workers follows, for CloudWatch and for Prometheus alike."""

from __future__ import annotations

from bridge.registry import SYSTEM_QUEUE
from bridge.store import SlotUsage, Status

MOST = 1.25
"""Bounds the figure, and so how much an autoscaler adds at once.

Behind full slots the waiting room may hold four claims a slot where jobs are short, and none where
they are long: how many wait there does not tell how many workers are missing. A target of 0.8 adds
at most 56 % at a time (1.25 / 0.8); then the figure is measured anew.
"""


def backlog_per_slot(status: Status) -> float | None:
    """Slots that are occupied, and claims that wait for one, by slots; None without a slot.

    Above 1 all slots are taken and claims wait. Not counted, for more workers are no remedy: claims
    in a countdown, claims that workers hold back for a ``rate_limit``, claims in a queue that no
    live worker serves, and what draining workers run.
    """
    offering = [
        worker
        for worker in status.workers
        if worker.live and worker.slots > 0 and set(worker.queues) != {SYSTEM_QUEUE}
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
