"""Sum up what occupies the slots of several workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.store.status import WorkerStatus


@dataclass(frozen=True, slots=True)
class SlotUsage:
    """What occupies the slots of several workers; the parts add up to ``slots``.

    Attributes:
        slots: Slots of the live workers. A draining worker has none, and what it runs is not
            counted.
        claims: Slots in which claims run.
        ordinary: Slots that ordinary tasks, which are not the bridge's, occupy.
        unwanted: Slots of jobs whose claim is closed or runs elsewhere.
        free: Slots that nothing occupies.
    """

    slots: int
    claims: int
    ordinary: int
    unwanted: int
    free: int

    @classmethod
    def of(cls, workers: Iterable[WorkerStatus]) -> SlotUsage:
        """The sums over the live ones of these workers."""
        slots = claims = ordinary = unwanted = 0
        for worker in workers:
            if not worker.live:
                continue
            slots += worker.slots
            # A pool that has just shrunk may run more jobs than it has slots.
            left = worker.slots
            ordinary += (part := min(worker.ordinary, left))
            left -= part
            unwanted += (part := min(worker.unwanted, left))
            claims += min(worker.running, left - part)
        return cls(
            slots=slots,
            claims=claims,
            ordinary=ordinary,
            unwanted=unwanted,
            free=slots - claims - ordinary - unwanted,
        )

    @property
    def occupied(self) -> int:
        """Slots that anything occupies."""
        return self.slots - self.free
