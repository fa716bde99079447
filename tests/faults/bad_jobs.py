"""Tasks that raise and return what they should not: the cases of test_bad_results.py."""

from __future__ import annotations

import datetime
import enum
import os
import threading
from collections import OrderedDict, namedtuple
from decimal import Decimal
from pathlib import Path

from celery import shared_task
from celery.exceptions import Ignore, Reject, Retry

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


class Text(str):
    """A subclass of str, as libraries have."""

    def __str__(self):
        return "not what it holds"


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
    "a cause that is None": lambda: ActivityError("Odd", None),
    "an error name of spaces": lambda: ActivityError("  ", "no name"),
    "texts of a kind of their own": lambda: ActivityError(Text("Odd"), Text("row 7")),
    "astral characters in its message": lambda: ValueError("💥" * 20_000),
    "a Reject without words": lambda: Reject(Unspeakable(), requeue=False),
    "an Ignore without words": lambda: Ignore(Unspeakable()),
    "a cause within a cause": lambda: chained(200),
    "itself as its cause": lambda: own_cause(),
    "KeyboardInterrupt": lambda: KeyboardInterrupt(),
    "GeneratorExit": lambda: GeneratorExit(),
    "a group": lambda: ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
}


def chained(depth: int) -> Exception:
    outer = inner = ValueError("the outermost")
    for n in range(depth):
        inner.__cause__ = inner = ValueError(f"cause {n}")
    return outer


def own_cause() -> Exception:
    exc = ValueError("why? because")
    exc.__cause__ = exc
    return exc


class Lazy(dict):
    """Looks its items up when asked, like a row whose database session is closed."""

    def items(self):
        raise LookupError("the session is closed")


class Colour(enum.StrEnum):
    RED = "red"


async def coroutine():
    return 1


def circular():
    value: dict = {}
    value["itself"] = [value]
    return value


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
    "circular": circular,
    "a coroutine": coroutine,
    "items that fail": lambda: {"row": Lazy(a=1)},
    "a surrogate in a key": lambda: {"\udc00": 1},
    "5,000 digits": lambda: 10**5000,
    "NaN as key": lambda: {float("nan"): 1},
    "one byte too many": lambda: "x" * 262_143,
    "262,144 bytes": lambda: "x" * 262_142,
    "262,144 bytes of two-byte characters": lambda: "é" * 131_071,
    "null": lambda: None,
    "numbers as keys": lambda: {1: "one", 2.5: "more", None: "none", False: "no"},
    "a subclass of str": lambda: [Text("what it holds")],
    "an enum": lambda: {"colour": Colour.RED, Colour.RED: 1},
    "a named tuple": lambda: namedtuple("Point", "x y")(1, 2),
    "an ordered dict": lambda: OrderedDict(b=1, a=2),
    "control characters": lambda: "\x00\x1f\x7f\u2028\ufeff💥",
}


@shared_task(activity=f"{PREFIX}-raise", heartbeat=1)
def raises(event):
    raise RAISES[event["what"]]()


@shared_task(activity=f"{PREFIX}-return", heartbeat=1)
def returns(event):
    return RETURNS[event["what"]]()


@shared_task(activity=f"{PREFIX}-again", heartbeat=1, bind=True, max_retries=3)
def again(self, event):
    """Asks for a retry as ``event["how"]`` says; the second run succeeds."""
    marker = Path(os.environ["JOBS_SEEN"] + event["how"])
    if marker.exists():
        return "second time"
    marker.touch()
    match event["how"]:
        case "NaN":
            raise self.retry(countdown=float("nan"))
        case "words":
            raise self.retry(countdown="soon")
        case "beyond time":
            raise self.retry(countdown=1e300)
        case "by hand":
            raise Retry("raised by hand")
        case "in the past":
            raise self.retry(countdown=-60)


@shared_task(activity=f"{PREFIX}-forget", heartbeat=1)
def forget(event):
    os.environ.clear()
    return "who am I?"


@shared_task(activity=f"{PREFIX}-echo", heartbeat=1)
def echo(event):
    return event
