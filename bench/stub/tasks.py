"""Hold the stub's tasks, and the connections that wait for a task or for a count."""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import dataclass
from time import monotonic, process_time, time
from typing import Any, Protocol

from bench.stub.answers import EMPTY
from bench.stub.loop import Loop


class Client(Protocol):
    """What the tasks need of a connection."""

    def accept(self, number: int) -> bool:
        """Answer the open poll with this task; False when there is no open poll any more."""
        ...

    def write(self, data: bytes) -> None:
        """Send a response."""
        ...


@dataclass(slots=True)
class StubTask:
    """One task; its moments are Unix seconds, None as long as they have not come.

    Attributes:
        report: Body of the report.
        work_ms: How long its job is to last; 0: nothing is said about it.
    """

    work_ms: int
    scheduled: float
    handed_out: float | None = None
    reported: float | None = None
    report: bytes = b""


@dataclass(slots=True)
class _Waiter:
    """A connection whose request is answered when a counter reaches ``count``."""

    count: int
    client: Client


class Tasks:
    """All tasks by number, in the order in which they were scheduled.

    Attributes:
        waiting: Activity → numbers of the tasks that no poll has taken.
        polling: Activity → connections with an open poll, oldest first.
        spread: Whether a connection's first poll is held for 0 to 60 s instead of 60 s.
        polls, open: Polls so far, and those that are open now.
        others: Counts of all other calls, and of second reports of a task.
    """

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.all: list[StubTask] = []
        self.waiting: dict[bytes, deque[int]] = {}
        self.polling: dict[bytes, deque[Client]] = {}
        self.spread = False
        self.polls = self.open = 0
        self.others: Counter[str] = Counter()
        self._heartbeats = self._reported = self._failed = 0
        self._on_reports: list[_Waiter] = []
        self._on_heartbeats: list[_Waiter] = []

    def create(self, activity: bytes) -> None:
        """Create an activity; does nothing when it exists."""
        self.waiting.setdefault(activity, deque())
        self.polling.setdefault(activity, deque())

    def schedule(self, activity: bytes, *, count: int, rate: float, work_ms: int = 0) -> int:
        """Schedule ``count`` tasks, ``rate`` a second (0: all at once); the number of the first."""
        self.create(activity)
        first = len(self.all)
        if not rate:
            for _ in range(count):
                self._add(activity, work_ms)
            return first
        start = monotonic()

        def add_and_go_on(number: int) -> None:
            self._add(activity, work_ms)
            if number < count:
                self.loop.call_at(start + number / rate, lambda: add_and_go_on(number + 1))

        add_and_go_on(1)
        return first

    def _add(self, activity: bytes, work_ms: int) -> None:
        number = len(self.all)
        self.all.append(StubTask(work_ms, time()))
        polling = self.polling[activity]
        while polling:
            if polling.popleft().accept(number):
                return
        self.waiting[activity].append(number)

    def note_heartbeat(self) -> None:
        """Count a heartbeat, and answer the connections that wait for this many."""
        self._heartbeats += 1
        _answer_waiters(self._on_heartbeats, self._heartbeats)

    def note_report(self, number: int, report: bytes, *, failed: bool) -> bool:
        """Note a task's report; False when the task was reported before."""
        task = self.all[number]
        if task.reported is not None:
            self.others["reported twice"] += 1
            return False
        task.reported = time()
        task.report = report
        self._reported += 1
        self._failed += failed
        return True

    def answer_waiters_of_reports(self) -> None:
        """Answer the connections that wait for as many reports as there are."""
        _answer_waiters(self._on_reports, self._reported)

    def wait_for_reports(self, count: int, client: Client) -> None:
        """Answer this connection once so many tasks have been reported."""
        _wait(self._on_reports, _Waiter(count, client), self._reported)

    def wait_for_heartbeats(self, count: int, client: Client) -> None:
        """Answer this connection once so many heartbeats have come."""
        _wait(self._on_heartbeats, _Waiter(count, client), self._heartbeats)

    def counts(self) -> dict[str, Any]:
        """Calls so far (``polls`` includes those ``open`` now), and the stub's own CPU."""
        return {
            "scheduled": len(self.all),
            "reported": self._reported,
            "failed": self._failed,
            "heartbeats": self._heartbeats,
            "polls": self.polls,
            "open": self.open,
            "others": dict(self.others),
            "cpu_s": process_time(),
        }

    def figures(self, since: int) -> list[list[float | None]]:
        """Scheduled, handed out, reported, begun, ended: of each task from number ``since`` on."""
        rows: list[list[float | None]] = []
        for task in self.all[since:]:
            begun = ended = None
            if task.report:
                output = json.loads(json.loads(task.report).get("output") or "null")
                if isinstance(output, dict):
                    begun, ended = output.get("begun"), output.get("ended")
            rows.append([task.scheduled, task.handed_out, task.reported, begun, ended])
        return rows


def _wait(waiters: list[_Waiter], new: _Waiter, count: int) -> None:
    if new.count <= count:
        new.client.write(EMPTY)
    else:
        waiters.append(new)


def _answer_waiters(waiters: list[_Waiter], count: int) -> None:
    while waiters and waiters[0].count <= count:
        waiters.pop(0).client.write(EMPTY)
