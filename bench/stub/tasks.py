"""The stub's tasks: when each was scheduled, handed out and reported, and who waits for one."""

from __future__ import annotations

import json
from collections import Counter, deque
from time import monotonic, process_time, time
from typing import TYPE_CHECKING, Any

from bench.stub.loop import Loop

if TYPE_CHECKING:
    from bench.stub.wire import Connection


class Stub:
    """The tasks, and who waits for them."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.scheduled: list[float] = []
        self.handed: list[float | None] = []
        self.reported: list[float | None] = []
        self.reports: list[bytes] = []
        self.work_ms: list[int] = []
        self.waiting: dict[bytes, deque[int]] = {}
        self.parked: dict[bytes, deque[Connection]] = {}
        self.calls: Counter[str] = Counter()
        self.done = self.heartbeats = self.polls = self.open = self.failed = 0
        self.on_done: list[tuple[int, Connection]] = []
        self.on_heartbeats: list[tuple[int, Connection]] = []
        self.spread = False

    def create(self, name: bytes) -> None:
        self.waiting.setdefault(name, deque())
        self.parked.setdefault(name, deque())

    def schedule(self, name: bytes, count: int, rate: float, work_ms: int = 0) -> int:
        """Schedule tasks; the number of the first."""
        self.create(name)
        first = len(self.scheduled)
        if not rate:
            for _ in range(count):
                self.add(name, work_ms)
            return first
        start = monotonic()

        def tick(number: int) -> None:
            self.add(name, work_ms)
            if number < count:
                self.loop.call_at(start + number / rate, lambda: tick(number + 1))

        tick(1)
        return first

    def add(self, name: bytes, work_ms: int) -> None:
        number = len(self.scheduled)
        self.scheduled.append(time())
        self.handed.append(None)
        self.reported.append(None)
        self.reports.append(b"")
        self.work_ms.append(work_ms)
        parked = self.parked[name]
        while parked:
            connection = parked.popleft()
            if connection.take(number):
                return
        self.waiting[name].append(number)

    def counts(self) -> dict[str, Any]:
        """Calls so far: ``polls`` also counts those open now, ``open``; and the stub's own CPU."""
        return {
            "scheduled": len(self.scheduled),
            "reported": self.done,
            "failed": self.failed,
            "heartbeats": self.heartbeats,
            "polls": self.polls,
            "open": self.open,
            "others": dict(self.calls),
            "cpu_s": process_time(),
        }

    def figures(self, since: int) -> list[list[float | None]]:
        rows: list[list[float | None]] = []
        for number in range(since, len(self.scheduled)):
            begun = ended = None
            if self.reports[number]:
                output = json.loads(self.reports[number]).get("output") or "null"
                said = json.loads(output)
                if isinstance(said, dict):
                    begun, ended = said.get("begun"), said.get("ended")
            rows.append(
                [self.scheduled[number], self.handed[number], self.reported[number], begun, ended]
            )
        return rows
