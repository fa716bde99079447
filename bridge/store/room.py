"""The room for one more poll on an activity, as ``celery -A bridge status --why`` explains it."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.store.records import PollRefusal


@dataclass(frozen=True, slots=True)
class Room:
    """Whether one more poll on an activity would be granted, and the sums behind that answer.

    The sums are over the live workers that serve the activity's queue, and over the claims of all
    activities on those workers.

    Attributes:
        refusal: Why the poll would be refused; ``NONE``: it would be granted.
        slots: Slots of these workers.
        offered: Slots that they offer to claims: those that neither ordinary tasks nor unwanted
            jobs occupy.
        used: Offered slots in which claims run.
        waiting_room: How many claims may wait, by count: those beyond the used slots that
            ``BRIDGE_LOOK_AHEAD`` allows.
        charged: What takes that room: claims that wait, fresh polls, and idle polls of an activity
            beyond its first.
        time_room_s: How many seconds of short jobs may wait.
        time_used_s: How many of these seconds are taken.
        short: Whether the activity's jobs are short enough for the room by time.
        longest_s: The longest of its last runs; None: nothing ran lately.
        workers: How many of these workers there are.
    """

    refusal: PollRefusal
    slots: int = 0
    offered: int = 0
    used: int = 0
    waiting_room: int = 0
    charged: int = 0
    time_room_s: float = 0.0
    time_used_s: float = 0.0
    short: bool = False
    longest_s: float | None = None
    workers: int = 0
