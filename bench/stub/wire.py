"""The stub's side of a connection: HTTP/1.1 and AWS JSON 1.0, as far as clients use them."""

from __future__ import annotations

import json
import random
import socket
from time import monotonic, time
from typing import Any

from bench.stub import ARN, DIGITS, MARK, TOKEN
from bench.stub.loop import Timer
from bench.stub.tasks import Stub

HOLD_S = 60.0
_HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n"
_TASK_BODY = b'{"taskToken":"' + TOKEN + b'%012d","input":"{\\"n\\": \\"%012d\\"}"}'
_TASK = _HEAD % (b"200 OK", len(_TASK_BODY % (0, 0))) + _TASK_BODY
_WORK_BODY = b'{"taskToken":"' + TOKEN + b'%012d","input":"{\\"n\\": \\"%012d\\", \\"ms\\": %d}"}'
_EMPTY = _HEAD % (b"200 OK", 2) + b"{}"


def _answer(content: Any, status: bytes = b"200 OK") -> bytes:
    body = json.dumps(content).encode()
    return _HEAD % (status, len(body)) + body


def _refusal(code: str) -> bytes:
    content = {"__type__": code, "__type": f"com.amazonaws.states#{code}", "message": code}
    return _answer(content, b"400 Bad Request")


class Connection:
    """One connection of a client; a request at a time."""

    __slots__ = ("hold", "parked_in", "polled", "rest", "sock", "stub")

    def __init__(self, stub: Stub, sock: socket.socket) -> None:
        self.stub, self.sock = stub, sock
        self.rest = b""
        self.parked_in: bytes | None = None
        self.hold: Timer | None = None
        self.polled = False

    def write(self, data: bytes) -> None:
        try:  # noqa: SIM105 (suppress() costs more than the call)
            self.sock.sendall(data)
        except OSError:
            pass  # the client has gone, and its connection is lost next

    def lost(self) -> None:
        self.unpark()

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
                self.request(data, head)
                return
            self.request(data[:end], head)
            data = data[end:]
        self.rest = data

    def request(self, data: bytes, head: int) -> None:
        stub = self.stub
        at = data.find(b"AWSStepFunctions.", 0, head)
        if at < 0:
            self.control(data, head)
        elif data[at + 17] == 71:  # G: GetActivityTask
            stub.polls += 1
            at = data.find(b":activity:", head) + 10
            name = data[at : data.find(b'"', at)]
            waiting = stub.waiting.get(name)
            if waiting is None:
                self.write(_refusal("ActivityDoesNotExist"))
            elif waiting:
                self.hand(waiting.popleft())
            else:
                self.park(name)
        elif data[at + 17 : at + 25] == b"SendTask":
            self.report(data[at + 25], data, head)
        else:
            self.manage(data, head, at)

    def report(self, kind: int, data: bytes, head: int) -> None:
        stub = self.stub
        if kind == 72:  # H: heartbeat
            stub.heartbeats += 1
            self.write(_EMPTY)
            while stub.on_heartbeats and stub.on_heartbeats[0][0] <= stub.heartbeats:
                stub.on_heartbeats.pop(0)[1].write(_EMPTY)
            return
        at = data.find(MARK, head) + len(MARK)
        number = int(data[at : at + DIGITS])
        if stub.reported[number] is not None:
            stub.calls["reported twice"] += 1
            self.write(_refusal("TaskTimedOut"))
            return
        stub.reported[number] = time()
        stub.reports[number] = data[head + 4 :]
        stub.done += 1
        stub.failed += kind == 70  # F: failure
        self.write(_EMPTY)
        while stub.on_done and stub.on_done[0][0] <= stub.done:
            stub.on_done.pop(0)[1].write(_EMPTY)

    # Polls

    def hand(self, number: int) -> None:
        self.stub.handed[number] = time()
        if work_ms := self.stub.work_ms[number]:
            body = _WORK_BODY % (number, number, work_ms)
            self.write(_HEAD % (b"200 OK", len(body)) + body)
        else:
            self.write(_TASK % (number, number))

    def take(self, number: int) -> bool:
        """A task for this parked poll; False when its client has gone."""
        if self.parked_in is None:
            return False
        self.parked_in = None
        self.stub.open -= 1
        if self.hold:
            self.hold.cancel()
        self.hand(number)
        return True

    def park(self, name: bytes) -> None:
        hold_s = HOLD_S
        if self.stub.spread and not self.polled:
            hold_s *= random.random()
        self.polled = True
        self.parked_in = name
        self.stub.open += 1
        self.stub.parked[name].append(self)
        self.hold = self.stub.loop.call_at(monotonic() + hold_s, self.come_home)

    def unpark(self) -> None:
        if self.parked_in is not None:
            self.stub.parked[self.parked_in].remove(self)
            self.stub.open -= 1
            self.parked_in = None
        if self.hold:
            self.hold.cancel()

    def come_home(self) -> None:
        self.unpark()
        self.write(_EMPTY)

    # What is asked seldom

    def manage(self, data: bytes, head: int, at: int) -> None:
        call = data[at + 17 : data.find(b"\r", at)].decode()
        self.stub.calls[call] += 1
        said = json.loads(data[head + 4 :] or b"{}")
        name = said.get("name") or said.get("activityArn", "").rpartition(":")[2]
        row = {"activityArn": ARN + name, "name": name, "creationDate": 1.7e9}
        if call == "CreateActivity":
            self.stub.create(name.encode())
        elif call == "ListActivities":
            names = [known.decode() for known in self.stub.waiting]
            rows = [{"activityArn": ARN + n, "name": n, "creationDate": 1.7e9} for n in names]
            self.write(_answer({"activities": rows}))
            return
        elif name.encode() not in self.stub.waiting:
            self.write(_refusal("ActivityDoesNotExist"))
            return
        self.write(_answer(row))

    def control(self, data: bytes, head: int) -> None:
        method, path, _ = data[: data.find(b"\r")].decode().split(" ", 2)
        _, command, *args = path.split("/")
        said = json.loads(data[head + 4 :]) if method == "POST" else {}
        stub = self.stub
        if command == "schedule":
            first = stub.schedule(
                said["activity"].encode(), said["count"], said["rate"], said.get("work_ms", 0)
            )
            self.write(_answer({"first": first}))
        elif command == "spread":
            stub.spread = said["on"]
            self.write(_EMPTY)
        elif command == "counts":
            self.write(_answer(stub.counts()))
        elif command == "figures":
            self.write(_answer(stub.figures(int(args[0]))))
        elif command in ("wait", "wait-heartbeats"):
            beats = command == "wait-heartbeats"
            if int(args[0]) <= (stub.heartbeats if beats else stub.done):
                self.write(_EMPTY)
            else:
                waiters = stub.on_heartbeats if beats else stub.on_done
                waiters.append((int(args[0]), self))
        else:
            self.write(_answer({}, b"404 Not Found"))
