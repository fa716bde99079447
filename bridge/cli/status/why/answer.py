"""The answer to ``status --why ACTIVITY``: sentences for people, numbers for programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from bridge.cli.tables import console
from bridge.store import ActivityStatus, Room, SlotUsage

NOT_POLLED = "not polled"
"""Nothing forbids a poll, and none is open: normal for a moment, while a poller asks."""
SETTLES_WITHIN_S = 4.0
"""A poller that would open a poll asks once a second at least."""
LOOK_AGAIN_S = 0.25
MOST_WIDTH = 100
"""Longer lines are hard to read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Why nothing more of an activity is claimed.

    Attributes:
        occupancy: What occupies the live workers that serve its queue.
        draining: How many more serve it, and take no new job.
        reason: In a word or two: "no poller", "no worker", "throttled", "held back", "idle poll",
            "no room", "share", "fresh poll", "not polled".
        attention: Whether a person has to do something.
        sentences: What is so, with numbers.
        remedy: What to do; empty where nothing has to be done.
    """

    activity: ActivityStatus
    queue: str
    room: Room
    occupancy: SlotUsage
    draining: int
    pollers: int
    reason: str
    attention: bool
    sentences: tuple[str, ...]
    remedy: str

    def as_json(self) -> dict[str, Any]:
        """For programs; documented in docs/cli.md and kept stable."""
        row, room, occupancy = self.activity, self.room, self.occupancy
        return {
            "activity": row.activity,
            "queue": self.queue,
            "reason": self.reason,
            "refusal": str(room.refusal),
            "attention": self.attention,
            "sentences": list(self.sentences),
            "remedy": self.remedy,
            "claims": {
                "in_flight": row.in_flight,
                "running": row.running,
                "waiting": row.waiting,
                "countdown": row.countdown,
                "held_back": row.held_back,
                "outbox": row.outbox,
                "lost": row.lost,
            },
            "polls": {"fresh": row.fresh, "idle": row.idle},
            "workers": {
                "live": room.workers,
                "draining": self.draining,
                "slots": occupancy.slots,
                "claims": occupancy.claims,
                "ordinary": occupancy.ordinary,
                "unwanted": occupancy.unwanted,
                "free": occupancy.free,
            },
            "room": {
                "offered": room.offered,
                "used": room.used,
                "waiting_room": room.waiting_room,
                "charged": room.charged,
                "time_room_s": room.time_room_s,
                "time_used_s": room.time_used_s,
                "short": room.short,
                "longest_s": room.longest_s,
            },
            "pollers": self.pollers,
        }


def show_answer(answer: Answer) -> None:
    """Print the sentences, then what to do."""
    terminal = console()
    width = min(terminal.width, MOST_WIDTH)
    terminal.print(Text(" ".join(answer.sentences)), width=width)
    if answer.remedy:
        terminal.print(Text(f"→ {answer.remedy}", "bold"), width=width)


def settled(ask: Callable[[], Answer], *, within_s: float = SETTLES_WITHIN_S) -> Answer:
    """The first answer that is not of a moment between two polls; after ``within_s``, the last."""
    deadline = time.monotonic() + within_s
    while True:
        answer = ask()
        if answer.reason != NOT_POLLED or time.monotonic() >= deadline:
            return answer
        time.sleep(LOOK_AGAIN_S)
