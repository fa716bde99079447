"""Read the buckets in which Celery's consumer holds back requests for a ``rate_limit``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.worker.celery_state import snapshot

HELD_OVER_S = 1.0
"""A request that its ``rate_limit`` lets run within this time counts as waiting, not as held back.
Else its activity would get the next job only after this one, and would run slower than it may."""


class RateLimitBuckets:
    """The buckets of these tasks that hold requests.

    When the rate of a task is changed, Celery gives the task a new bucket, and empties the old one
    at the old rate. So an old bucket is remembered here until it is empty.

    Args:
        tasks: Names of the tasks.
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        self._tasks = tuple(tasks)
        self._filled: dict[int, Any] = {}

    def look(self, consumer: Any) -> None:
        """Find the consumer's buckets that hold requests; forget those that are empty."""
        buckets = getattr(consumer, "task_buckets", None) or {}
        for name in self._tasks:
            bucket = buckets.get(name)
            if bucket is not None and bucket.contents:
                self.add(bucket)
        self._filled = {key: each for key, each in self._filled.items() if each.contents}

    def add(self, bucket: Any) -> None:
        """Remember a bucket that was found in another place."""
        self._filled[id(bucket)] = bucket

    def requests(self) -> list[Any]:
        """All requests in the buckets, as of the last look."""
        return [entry[0] for bucket in self._filled.values() for entry in snapshot(bucket.contents)]

    def held_back(self) -> list[Any]:
        """The requests that will not run within ``HELD_OVER_S``."""
        return [
            entry[0]
            for bucket in self._filled.values()
            for entry in snapshot(bucket.contents)[int(bucket.fill_rate * HELD_OVER_S) :]
        ]
