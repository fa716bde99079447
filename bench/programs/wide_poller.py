"""``celery -A bridge poll`` with ``BENCH_WIDTH`` polls open on each activity, as after much work.

The window of an activity is as wide as the tasks that come need, and an idle activity is granted
one poll: without this a thousand polls would take thousands of tasks, and be gone a minute later.
So the window is as wide as it is told and each poll is granted; the store is asked all the same.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence

from bridge.loops import poll_window, poller
from bridge.store import ClaimStore, PollRefusal, Wish
from bridge.store.records import Grant

WIDTH = int(os.environ["BENCH_WIDTH"])


class WideWindow(poll_window.Window):
    """It stays as wide as it is."""

    __slots__ = ()

    def narrow(self) -> None:
        super().narrow()
        self.size = WIDTH

    def measure(self, now: float) -> None:
        super().measure(now)
        self.size = WIDTH


def _grant_all() -> None:
    asked = ClaimStore.grant_polls

    async def granted(store: ClaimStore, name: str, wishes: Sequence[Wish]) -> Grant:
        answer = await asked(store, name, wishes)
        none = PollRefusal.NONE
        return Grant(answer.slots, [wish.want for wish in wishes], [none] * len(wishes))

    ClaimStore.grant_polls = granted  # type: ignore[method-assign]


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    poller.Window = WideWindow  # type: ignore[misc]
    if WIDTH > 1:
        _grant_all()
    from celery.__main__ import main

    sys.argv = ["celery", "-A", "bridge", "poll"]
    main()
