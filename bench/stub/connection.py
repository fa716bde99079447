"""Read HTTP/1.1 requests from a connection, as far as clients use it, and answer the hot calls."""

from __future__ import annotations

import random
import socket
from time import monotonic, time

from bench.stub import DIGITS, MARK
from bench.stub.answers import EMPTY, refusal, task_answer
from bench.stub.loop import Timer
from bench.stub.rare_calls import answer_control, answer_management
from bench.stub.tasks import Tasks

HOLD_S = 60.0
_TARGET = b"AWSStepFunctions."
_SEND_TASK = b"SendTask"
# First letters: GetActivityTask is the only Get… call, and the others are SendTask(H|S|F)….
_GET, _HEARTBEAT, _FAILURE = ord("G"), ord("H"), ord("F")


class Connection:
    """One connection of a client, with one request at a time."""

    __slots__ = ("hold", "polled", "polls_for", "rest", "sock", "tasks")

    def __init__(self, tasks: Tasks, sock: socket.socket) -> None:
        self.tasks, self.sock = tasks, sock
        self.rest = b""
        self.polls_for: bytes | None = None
        self.hold: Timer | None = None
        self.polled = False

    def write(self, data: bytes) -> None:
        try:  # noqa: SIM105 (suppress() costs more than the call)
            self.sock.sendall(data)
        except OSError:
            pass  # the client has closed the connection; ``lost`` is called next

    def lost(self) -> None:
        self._close_poll()

    def received(self, data: bytes) -> None:
        if self.rest:
            data, self.rest = self.rest + data, b""
        while data:
            head = data.find(b"\r\n\r\n")
            if head < 0:
                break
            at = data.find(b"ontent-Length: ", 0, head)
            if at < 0:
                at = data.lower().find(b"ontent-length: ", 0, head)
            end = head + 4
            if at > 0:
                end += int(data[at + 15 : data.find(b"\r", at)])
            if len(data) < end:
                break
            if len(data) == end:
                self._answer(data, head)
                return
            self._answer(data[:end], head)
            data = data[end:]
        self.rest = data

    def _answer(self, data: bytes, head: int) -> None:
        """Answer one request, whose headers end at ``head``."""
        target = data.find(_TARGET, 0, head)
        if target < 0:
            answer_control(self.tasks, self, data, head)
            return
        call = target + len(_TARGET)
        if data[call] == _GET:
            self._poll(data, head)
        elif data.startswith(_SEND_TASK, call):
            self._send_task(data[call + len(_SEND_TASK)], data, head)
        else:
            name = data[call : data.find(b"\r", call)].decode()
            self.write(answer_management(self.tasks, name, data[head + 4 :]))

    def _poll(self, data: bytes, head: int) -> None:
        tasks = self.tasks
        tasks.polls += 1
        at = data.find(b":activity:", head) + 10
        activity = data[at : data.find(b'"', at)]
        waiting = tasks.waiting.get(activity)
        if waiting is None:
            self.write(refusal("ActivityDoesNotExist"))
        elif waiting:
            self._hand_out(waiting.popleft())
        else:
            self._hold_poll(activity)

    def _send_task(self, kind: int, data: bytes, head: int) -> None:
        tasks = self.tasks
        if kind == _HEARTBEAT:
            self.write(EMPTY)
            tasks.note_heartbeat()
            return
        at = data.find(MARK, head) + len(MARK)
        number = int(data[at : at + DIGITS])
        if tasks.note_report(number, data[head + 4 :], failed=kind == _FAILURE):
            self.write(EMPTY)
            tasks.answer_waiters_of_reports()
        else:
            self.write(refusal("TaskTimedOut"))

    # Polls

    def _hand_out(self, number: int) -> None:
        task = self.tasks.all[number]
        task.handed_out = time()
        self.write(task_answer(number, task.work_ms))

    def _hold_poll(self, activity: bytes) -> None:
        hold_s = HOLD_S
        if self.tasks.spread and not self.polled:
            hold_s *= random.random()
        self.polled = True
        self.polls_for = activity
        self.tasks.open += 1
        self.tasks.polling[activity].append(self)
        self.hold = self.tasks.loop.call_at(monotonic() + hold_s, self._end_empty)

    def accept(self, number: int) -> bool:
        """Answer the open poll with this task; False when there is no open poll any more."""
        if self.polls_for is None:
            return False
        self.polls_for = None
        self.tasks.open -= 1
        if self.hold:
            self.hold.cancel()
        self._hand_out(number)
        return True

    def _close_poll(self) -> None:
        if self.polls_for is not None:
            self.tasks.polling[self.polls_for].remove(self)
            self.tasks.open -= 1
            self.polls_for = None
        if self.hold:
            self.hold.cancel()

    def _end_empty(self) -> None:
        self._close_poll()
        self.write(EMPTY)
