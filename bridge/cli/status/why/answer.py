"""The answer to ``status --why ACTIVITY``: sentences for people, numbers for programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from bridge.cli.status.why.facts import Facts
from bridge.cli.status.why.reasons import NOT_POLLED, reasons
from bridge.cli.status.why.situation import situation
from bridge.cli.tables import console

SETTLES_WITHIN_S = 4.0
"""Each poller asks for polls at least once a second; this leaves time for several of them."""
LOOK_AGAIN_S = 0.25
MOST_WIDTH = 100
"""Longer lines are hard to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Why nothing more of an activity is claimed.

    Attributes:
        facts: The numbers behind the answer.
        reason: In a word or two: "no poller", "no worker", "throttled", "held back", "idle poll",
            "no room", "share", "fresh poll", "not polled".
        attention: Whether a person has to do something.
        sentences: The situation and the reasons, with numbers.
        remedy: What to do; empty if nothing has to be done.
    """

    facts: Facts
    reason: str
    attention: bool
    sentences: tuple[str, ...]
    remedy: str

    @classmethod
    def of(cls, facts: Facts) -> Answer:
        """Explain why nothing more is claimed."""
        found = reasons(facts)
        said = [sentence for reason in found for sentence in reason.sentences]
        return cls(
            facts=facts,
            reason=found[0].name,
            attention=any(reason.attention for reason in found),
            sentences=(*situation(facts), *said),
            remedy=" ".join(reason.remedy for reason in found),
        )

    def as_json(self) -> dict[str, Any]:
        """The answer for programs; docs/cli.md documents it, and it is kept stable."""
        row, room, occupancy = self.facts.row, self.facts.room, self.facts.occupancy
        return {
            "activity": row.activity,
            "queue": self.facts.queue,
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
                "draining": len(self.facts.draining),
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
            "pollers": len(self.facts.status.pollers),
        }


def show_answer(answer: Answer) -> None:
    """Print the sentences, then what to do."""
    terminal = console()
    width = min(terminal.width, MOST_WIDTH)
    terminal.print(Text(" ".join(answer.sentences)), width=width)
    if answer.remedy:
        terminal.print(Text(f"→ {answer.remedy}", "bold"), width=width)


def settled(ask: Callable[[], Answer], *, within_s: float = SETTLES_WITHIN_S) -> Answer:
    """Ask until the answer is not "not polled", which is normal for a moment between two polls.

    Returns:
        The first other answer; after ``within_s`` seconds the last one.
    """
    deadline = time.monotonic() + within_s
    while True:
        answer = ask()
        if answer.reason != NOT_POLLED or time.monotonic() >= deadline:
            return answer
        time.sleep(LOOK_AGAIN_S)
