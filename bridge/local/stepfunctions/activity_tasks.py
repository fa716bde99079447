"""Hold the activity tasks of this process: the waiting ones, open polls, and task tokens.

The interpreter schedules and closes tasks; the API's calls claim and end them. All servers of one
process share ``TASKS``, as they share moto's own state.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.stepfunctions.parser.models import stepfunctions_parser_backends

MAX_POLLS_PER_ACTIVITY = 1_000
CLOSED_TOKENS_KEPT = 100_000

_ACTIVITY_ARN = re.compile(r"arn:aws[a-z-]*:states:([a-z0-9-]+):(\d{12}):activity:(\S{1,80})")
_TOKEN = re.compile(r"[A-Za-z0-9+/=_-]{32,2048}")


class RequestRefused(Exception):
    """A call that Step Functions answers with an error; ``code`` is the error's name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True, eq=False, kw_only=True)
class LocalTask:
    """One activity task, from the moment it is scheduled until it is closed.

    Attributes:
        execution: ARN of the execution.
        env: The interpreter's environment of the execution, or of a branch of it.
        changed: Set when the task was claimed, heartbeated or closed.
        started: When it was claimed; None before that.
        started_at, last_heartbeat_at: Seconds of the monotonic clock.
        ended: When its worker reported the outcome.
        output: The worker's output as JSON text, after a success.
        failure: Error and cause, after a failure.
    """

    token: str
    arn: str
    execution: str
    input: str = field(repr=False)
    env: Any = field(repr=False)
    changed: threading.Event = field(default_factory=threading.Event)
    worker_name: str | None = None
    started: datetime | None = None
    started_at: float = 0.0
    last_heartbeat_at: float = 0.0
    closed: bool = False
    ended: datetime | None = None
    output: str | None = None
    failure: tuple[str | None, str | None] | None = None


@dataclass(slots=True, eq=False)
class _OpenPoll:
    """A poll that waits for a task; ``answered`` is set when it gets one."""

    worker_name: str | None
    answered: threading.Event = field(default_factory=threading.Event)
    task: LocalTask | None = None


class ActivityTasks:
    """All activity tasks of this process; safe to use from several threads.

    Tasks wait in the order in which they were scheduled, and so do polls; each task goes to exactly
    one poll. A poll whose client has disconnected still takes the next task, as at AWS.

    Attributes:
        calls: ARN of an execution → how many claims, heartbeats, successes, failures and late calls
            it had.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[LocalTask]] = defaultdict(deque)
        self._polls: dict[str, deque[_OpenPoll]] = defaultdict(deque)
        self._open: dict[str, LocalTask] = {}
        self._execution_of_closed: OrderedDict[str, str] = OrderedDict()
        self.calls: dict[str, Counter[str]] = defaultdict(Counter)

    # Called by the interpreter

    def schedule(self, task: LocalTask) -> None:
        """Give the task to the poll that has waited longest, or let it wait for one."""
        with self._lock:
            self._open[task.token] = task
            polls = self._polls[task.arn]
            if polls:
                poll = polls.popleft()
                self._claim(task, poll.worker_name)
                poll.task = task
                poll.answered.set()
            else:
                self._waiting[task.arn].append(task)

    def close(self, task: LocalTask) -> bool:
        """Close a task without an outcome; False when it was closed before."""
        with self._lock:
            if task.closed:
                return False
            self._close(task)
            return True

    def close_all_of(self, env: Any) -> None:
        """Close the tasks of an execution, or of a branch, that has ended."""
        with self._lock:
            for task in [task for task in self._open.values() if task.env is env]:
                self._close(task)

    # Called for workers

    def poll(self, arn: str, worker_name: str | None, hold_s: float) -> LocalTask | None:
        """Claim a task, and wait for one up to ``hold_s``; None when none was scheduled.

        Raises:
            RequestRefused: Too many polls are open on this activity.
        """
        poll = _OpenPoll(worker_name)
        with self._lock:
            waiting = self._waiting[arn]
            while waiting:
                task = waiting.popleft()
                if not task.closed:
                    self._claim(task, worker_name)
                    return task
            polls = self._polls[arn]
            if len(polls) >= MAX_POLLS_PER_ACTIVITY:
                raise RequestRefused(
                    "ActivityWorkerLimitExceeded", "too many pollers on one activity"
                )
            polls.append(poll)
        poll.answered.wait(hold_s)
        with self._lock:
            if poll.task is None:
                polls.remove(poll)
            return poll.task

    def open_polls(self) -> dict[str, list[str | None]]:
        """ARN of an activity → worker names of the polls that are open on it."""
        with self._lock:
            return {
                arn: [p.worker_name for p in polls] for arn, polls in self._polls.items() if polls
            }

    def heartbeat(self, token: str) -> None:
        """Renew the task's HeartbeatSeconds.

        Raises:
            RequestRefused: The token is closed, unknown or malformed.
        """
        with self._lock:
            self._open_task(token, "heartbeats").last_heartbeat_at = time.monotonic()

    def end(self, token: str, call: str, note_outcome: Callable[[LocalTask], None]) -> None:
        """Note the outcome of a task, count it as ``call``, and close the task.

        Raises:
            RequestRefused: The token is closed, unknown or malformed.
        """
        with self._lock:
            task = self._open_task(token, call)
            note_outcome(task)
            task.ended = datetime.now(UTC)
            self._close(task)

    # With the lock held

    def _open_task(self, token: str, call: str) -> LocalTask:
        """The open task of a token; the call is counted."""
        task = self._open.get(token)
        if task is not None:
            self.calls[task.execution][call] += 1
            return task
        execution = self._execution_of_closed.get(token)
        if execution is not None:
            self.calls[execution]["late"] += 1
            raise RequestRefused("TaskTimedOut", "Task Timed Out: 'Provided task does not exist'")
        if _TOKEN.fullmatch(token):
            raise RequestRefused(
                "TaskDoesNotExist", "Task does not exist: 'Provided task does not exist'"
            )
        raise RequestRefused("InvalidToken", "Invalid Token: 'Invalid token'")

    def _claim(self, task: LocalTask, worker_name: str | None) -> None:
        task.worker_name, task.started = worker_name, datetime.now(UTC)
        task.started_at = task.last_heartbeat_at = time.monotonic()
        self.calls[task.execution]["claims"] += 1
        task.changed.set()

    def _close(self, task: LocalTask) -> None:
        task.closed = True
        del self._open[task.token]
        self._execution_of_closed[task.token] = task.execution
        if len(self._execution_of_closed) > CLOSED_TOKENS_KEPT:
            self._execution_of_closed.popitem(last=False)
        task.changed.set()


TASKS = ActivityTasks()


def activity_exists(arn: str) -> bool:
    """Whether moto knows an activity of this ARN.

    Raises:
        RequestRefused: It is not the ARN of an activity.
    """
    match = _ACTIVITY_ARN.fullmatch(arn)
    if match is None:
        raise RequestRefused("InvalidArn", f"Invalid Arn: '{arn}'")
    region, account, _ = match.groups()
    return arn in stepfunctions_parser_backends[account][region].activities
