"""Join what the claim store knows with the activities of an app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.registry import SYSTEM_QUEUE, Registry, serves_users
from bridge.store import ActivityStatus, SlotUsage, Status, WorkerStatus

SUMMED = (
    *("in_flight", "queued", "waiting", "countdown", "held_back", "running"),
    *("polls", "fresh", "idle"),
    *("outbox", "lost", "succeeded", "failed"),
)
"""Fields of an activity whose sums over all activities stand in the totals."""


def state_of(row: ActivityStatus) -> str:
    """The state of an activity in one word, from the claim store alone.

    Returns:
        "processing" while claims are in flight, else "polling" while polls are open, else "created"
        before the activity's first outcome and "idle" after it.
    """
    if row.in_flight:
        return "processing"
    if row.polls:
        return "polling"
    return "idle" if row.succeeded or row.failed else "created"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The status of a deployment, with the slots that each registered activity has.

    Attributes:
        slots: Registered activity → slots of the live workers that serve its queue.
    """

    activities: list[ActivityStatus]
    slots: dict[str, int]
    workers: list[WorkerStatus]
    pollers: list[str]

    @classmethod
    def of(cls, status: Status, registry: Registry) -> Overview:
        """Join a status with the activities of this app."""
        live = [worker for worker in status.workers if worker.live]
        slots = {
            name: sum(worker.slots for worker in live if activity.queue in worker.queues)
            for name, activity in registry.items()
        }
        return cls(
            activities=status.activities,
            slots=slots,
            workers=status.workers,
            pollers=status.pollers,
        )

    @property
    def live_workers(self) -> list[WorkerStatus]:
        """Live workers, without those that serve only the bridge's own queue."""
        return [worker for worker in self.workers if worker.live and serves_users(worker.queues)]

    @property
    def lost_workers(self) -> list[WorkerStatus]:
        """Workers whose lease ended while they ran claims."""
        return [worker for worker in self.workers if not worker.live and worker.running]

    @property
    def beats(self) -> list[WorkerStatus]:
        """Live workers that serve the bridge's own queue."""
        return [worker for worker in self.workers if worker.live and SYSTEM_QUEUE in worker.queues]

    @property
    def warnings(self) -> list[str]:
        """What a person should look at, in one sentence each."""
        found = []
        for row in self.activities:
            if row.lost:
                found.append(f"{row.activity}: {row.lost} claims on workers that died")
            if row.in_flight and row.activity not in self.slots:
                found.append(
                    f"{row.activity}: {row.in_flight} claims, and no task has this activity"
                )
            elif row.queued and not self.slots[row.activity]:
                found.append(f"{row.activity}: {row.queued} jobs wait, and no worker serves them")
        in_flight = sum(row.in_flight for row in self.activities)
        if in_flight and not self.beats:
            instead = "pollers send the heartbeats" if self.pollers else "no heartbeats are sent"
            found.append(f"claims are in flight and no beat process runs: {instead}")
        return found

    @property
    def needs_attention(self) -> bool:
        """Whether there is any warning: the exit status is 1 then."""
        return bool(self.warnings)

    def as_json(self) -> dict[str, Any]:
        """The overview for programs; docs/cli.md documents it, and it is kept stable."""
        rows = [_row_as_json(row, self.slots.get(row.activity, 0)) for row in self.activities]
        totals = {key: sum(row[key] for row in rows) for key in SUMMED}
        occupancy = SlotUsage.of(self.live_workers)
        totals |= {
            "slots": occupancy.slots,
            "claims": occupancy.claims,
            "ordinary": occupancy.ordinary,
            "unwanted": occupancy.unwanted,
            "free": occupancy.free,
        }
        return {
            "activities": rows,
            "totals": totals,
            "workers": [_worker_as_json(worker) for worker in self.workers],
            "pollers": self.pollers,
            "warnings": self.warnings,
        }


def _row_as_json(row: ActivityStatus, slots: int) -> dict[str, Any]:
    return {
        "activity": row.activity,
        "state": state_of(row),
        "in_flight": row.in_flight,
        "queued": row.queued,
        "waiting": row.waiting,
        "countdown": row.countdown,
        "held_back": row.held_back,
        "running": row.running,
        "slots": slots,
        "polls": row.polls,
        "fresh": row.fresh,
        "idle": row.idle,
        "oldest_s": row.oldest_s,
        "longest_s": row.longest_s,
        "outbox": row.outbox,
        "lost": row.lost,
        "succeeded": row.succeeded,
        "failed": row.failed,
    }


def _worker_as_json(worker: WorkerStatus) -> dict[str, Any]:
    return {
        "worker": worker.worker,
        "slots": worker.slots,
        "running": worker.running,
        "ordinary": worker.ordinary,
        "unwanted": worker.unwanted,
        "offered": worker.offered,
        "used": worker.used,
        "free": worker.free,
        "fetches": worker.fetches,
        "queues": list(worker.queues),
        "lease_s": worker.lease_s,
    }
