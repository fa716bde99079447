"""``celery -A bridge poll`` with ``BENCH_WIDTH`` polls open on each activity, as after much work.

Nothing else is changed. A lane's window widens by one for many tasks it brings and shrinks when
polls come home empty, so that without this a thousand polls would take half a million tasks, and
be gone a minute later.
"""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass

from bridge import lanes, poller

WIDTH = int(os.environ["BENCH_WIDTH"])


@dataclass(slots=True, eq=False)
class WideLane(lanes.Lane):
    """Its window stays as wide as it is."""

    window: int = WIDTH

    def shrink(self) -> None:
        """Not at all."""


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    poller.Lane = WideLane  # type: ignore[misc]
    from celery.__main__ import main

    sys.argv = ["celery", "-A", "bridge", "poll"]
    main()
