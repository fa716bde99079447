"""Tasks that return, raise and take what they should not; for test_bad_inputs."""

from __future__ import annotations

import datetime
import os
import threading
from decimal import Decimal

from celery import shared_task

from bridge import ActivityError

PREFIX = os.environ["JOBS_PREFIX"]


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("I cannot be said")


class Unpicklable(Exception):
    def __init__(self, first, second):
        super().__init__(first)
        self.lock = threading.Lock()


VeryLong = type("V" * 300, (Exception,), {})


class NoString(Exception):
    def __str__(self):
        return 7


RAISES = {
    "a long message": lambda: ValueError("x" * 100_000),
    "surrogates in its message": lambda: ValueError("half \ud83d of it"),
    "a message of bytes": lambda: ValueError(b"\xff\xfe"),
    "null characters": lambda: ValueError("a\x00b"),
    "no words": lambda: Unspeakable(),
    "a number for words": lambda: NoString(),
    "a lock in it": lambda: Unpicklable("first", "second"),
    "a long name": lambda: VeryLong("so long"),
    "an empty error name": lambda: ActivityError("", "no name"),
    "a cause that is no text": lambda: ActivityError("Odd", {"row": 7}),
    "an error name that is no text": lambda: ActivityError(404, "not found"),
    "KeyboardInterrupt": lambda: KeyboardInterrupt(),
    "GeneratorExit": lambda: GeneratorExit(),
    "a group": lambda: ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
}


def recursive(depth: int):
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


RETURNS = {
    "NaN": lambda: float("nan"),
    "infinity": lambda: [float("-inf")],
    "bytes": lambda: b"raw",
    "a set": lambda: {1, 2},
    "a date": lambda: datetime.date(2026, 1, 1),
    "a decimal": lambda: Decimal("1.5"),
    "a generator": lambda: (n for n in range(3)),
    "a lone surrogate": lambda: "\udc00",
    "a tuple as key": lambda: {(1, 2): 3},
    "too deep": lambda: recursive(100_000),
    "too large": lambda: "é" * 131_072,
    "an exception": lambda: ValueError("returned, not raised"),
    "a class": lambda: dict,
}


@shared_task(activity=f"{PREFIX}-raise", heartbeat=1)
def raises(event):
    raise RAISES[event["what"]]()


@shared_task(activity=f"{PREFIX}-return", heartbeat=1)
def returns(event):
    return RETURNS[event["what"]]()


@shared_task(activity=f"{PREFIX}-echo", heartbeat=1)
def echo(event):
    return event
