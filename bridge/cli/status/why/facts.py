"""What is known of one activity at this moment, from the app and from the claim store."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.registry import Activity
from bridge.settings import Settings
from bridge.store import ActivityStatus, Room, SlotUsage, Status, WorkerStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One activity, and everything that decides whether more of it is claimed.

    ``status`` and ``room`` are read one after the other while the fleet goes on working, so sums of
    the two may differ by one.

    Attributes:
        row: The activity's claims and polls.
        room: What the ledger would answer to a request for one more poll.
        workers: The live workers that serve the activity's queue and take new jobs.
        draining: The live workers that serve its queue and take no new job.
        occupancy: What occupies the slots of ``workers``.
    """

    activity: Activity
    status: Status
    room: Room
    settings: Settings
    row: ActivityStatus
    workers: list[WorkerStatus]
    draining: list[WorkerStatus]
    occupancy: SlotUsage

    @classmethod
    def gather(cls, activity: Activity, status: Status, room: Room, settings: Settings) -> Facts:
        """Select what concerns ``activity``, which must be among ``status.activities``."""
        (row,) = (row for row in status.activities if row.activity == activity.name)
        serving = [each for each in status.workers if each.live and activity.queue in each.queues]
        workers = [worker for worker in serving if not worker.draining]
        return cls(
            activity=activity,
            status=status,
            room=room,
            settings=settings,
            row=row,
            workers=workers,
            draining=[worker for worker in serving if worker.draining],
            occupancy=SlotUsage.of(workers),
        )

    @property
    def queue(self) -> str:
        """The activity's queue, as the app that asks has it."""
        return self.activity.queue
