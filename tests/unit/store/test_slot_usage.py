"""What occupies the slots of several workers."""

from __future__ import annotations

from bridge.store import SlotUsage, WorkerStatus


def worker(name: str, slots: int, *, running: int, lease_s: float = 10.0, **counts: int):
    return WorkerStatus(name, slots, ("celery",), running=running, lease_s=lease_s, **counts)


def test_the_parts_add_up_to_the_slots_of_live_workers():
    workers = [
        worker("busy", 4, running=2, ordinary=1, unwanted=1, offered=2, used=2),
        worker("with a pool that has shrunk", 2, running=2, ordinary=4, offered=0, used=0),
        worker("draining", 0, running=3),
        worker("lost", 4, running=1, lease_s=-2.0, offered=4, used=1),
    ]
    found = SlotUsage.of(workers)
    assert found == SlotUsage(slots=6, claims=2, ordinary=3, unwanted=1, free=0)
    assert found.claims + found.ordinary + found.unwanted + found.free == found.slots
    assert found.occupied == 6
