"""Run ``celery -A bridge poll`` with ``BENCH_WIDTH`` polls open on each activity.

A poll window is as wide as an activity's tasks need, and the store grants an idle activity one
poll. A thousand open polls would need thousands of tasks, and would close a minute later. So here
the window keeps its width, and every poll is granted; the store is still asked.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence
from typing import Any

from bridge.loops.poll_window import Window
from bridge.store import ClaimStore, PollRefusal, Wish
from bridge.store.records import Grant

WIDTH = int(os.environ["BENCH_WIDTH"])


def _keep_windows_wide() -> None:
    """Set each window's width to ``BENCH_WIDTH`` after every call that sets it anew."""
    for name in ("narrow", "measure"):
        setattr(Window, name, _then_widened(getattr(Window, name)))


def _then_widened(set_size: Any) -> Any:
    def widened(window: Window, *args: Any) -> None:
        set_size(window, *args)
        window.size = WIDTH

    return widened


def _grant_all() -> None:
    """Open the polls that the poller wants, whatever the store grants."""
    ask: Any = ClaimStore.grant_polls

    async def granted(store: ClaimStore, poller: str, wishes: Sequence[Wish]) -> Grant:
        answer: Grant = await ask(store, poller, wishes)
        wanted = [wish.want for wish in wishes]
        return Grant(answer.slots, wanted, [PollRefusal.NONE] * len(wishes))

    setattr(ClaimStore, "grant_polls", granted)  # noqa: B010 (mypy refuses the assignment)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _keep_windows_wide()
    if WIDTH > 1:
        _grant_all()
    from celery.__main__ import main

    sys.argv = ["celery", "-A", "bridge", "poll"]
    main()
