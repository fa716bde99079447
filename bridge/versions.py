"""Optional parts of the bridge, and the versions with which each was tested.

Correctness rests on public interfaces of Celery, kombu and redis-py. The parts below make the
bridge cheaper or more robust, and reach inside these packages. So each is used only with versions
that the tests ran with; with others it is off, and the bridge is slower or less robust, as its row
says. ``doctor`` shows the parts that are off. ``BRIDGE_OPTIMIZATIONS=off`` switches off all that
change how processes work.

How to take in a new version of Celery, kombu or redis-py:

1. Install it and run the tests. The parts that were not tested with it are off, so that a failure
   shows a change of a public interface.
2. Read what changed in the methods that the parts replace. ``bridge/worker/__init__.py`` lists the
   methods, with the part that replaces each.
3. Raise the upper bound in ``PARTS``, and run the tests again, now with the parts on.
4. Run ``make guests`` and ``make bench``: older versions and costs.

If the new version no longer has a method that a part needs, its upper bound stays.

This module does not import the packages, because it decides whether a part may be imported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from logging import Logger
from typing import Literal

SWITCH = "BRIDGE_OPTIMIZATIONS"
"""``on`` or ``off``. It is read from the environment here, because the bridge is installed on an
app before its settings are read. ``Settings`` checks the value."""

Name = Literal[
    "batch publishing",
    "gathered deliveries",
    "gathered events",
    "batch receiving",
    "broker loss mend",
    "prefetch mend",
    "refusal mend",
    "shared broker client",
    "room beside rate limits",
    "status command",
]

Version = tuple[int, int]
Range = tuple[Version, Version]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part that may be off.

    Attributes:
        name: Its name in logs, in ``doctor`` and for ``enabled``.
        does: What it does.
        without: How the bridge behaves while it is off.
        tested: Package → the first version with which it works, and the first version with which it
            was not tested; major and minor numbers.
        switched: Whether ``BRIDGE_OPTIMIZATIONS=off`` switches it off.
    """

    name: Name
    does: str
    without: str
    tested: Mapping[str, Range]
    switched: bool = True


CELERY: Range = ((5, 5), (5, 8))
KOMBU: Range = ((5, 5), (5, 8))
REDIS: Range = ((5, 0), (9, 0))

PARTS: Mapping[str, Part] = {
    part.name: part
    for part in (
        Part(
            name="batch publishing",
            does="several jobs are published in one round trip to Redis (kombu's Producer.batch)",
            without="each job is published in a round trip of its own",
            tested={"kombu": ((5, 7), (5, 8))},
        ),
        Part(
            name="gathered deliveries",
            does="a worker tells Redis ten times a second what it has taken and acknowledged",
            without="a worker tells Redis of each job twice",
            tested={"celery": CELERY, "kombu": KOMBU},
        ),
        Part(
            name="gathered events",
            does="a worker publishes its task events ten times a second",
            without="a worker publishes its task events with each turn of its loop",
            tested={"celery": CELERY},
        ),
        Part(
            name="batch receiving",
            does="a worker takes several jobs from Redis in one round trip (BLMPOP)",
            without="a worker takes jobs from Redis one by one",
            tested={"celery": CELERY, "kombu": ((5, 7), (5, 8)), "redis": REDIS},
        ),
        Part(
            name="broker loss mend",
            does="a worker with unacknowledged messages survives the loss of Redis",
            without=(
                "a worker with unacknowledged messages may end when Redis goes away, and must be "
                "started again; its claims are recovered"
            ),
            tested={"kombu": KOMBU},
        ),
        Part(
            name="prefetch mend",
            does="a worker with --pool threads goes on after a restart of RabbitMQ",
            without=(
                "a worker with --pool threads that runs tasks when RabbitMQ goes away may take "
                "none when it is back, and must be started again; set "
                "worker_enable_prefetch_count_reduction = False"
            ),
            tested={"celery": CELERY},
        ),
        Part(
            name="refusal mend",
            does="a worker waits for a Redis that refuses writes for now, as for one that is away",
            without=(
                "a worker ends when Redis refuses writes (a failover, too few replicas, a full "
                "memory), and must be started again; its claims are recovered"
            ),
            tested={"celery": ((5, 7), (5, 8)), "kombu": ((5, 7), (5, 8)), "redis": REDIS},
        ),
        Part(
            name="shared broker client",
            does="a channel of kombu keeps one Redis client",
            without="a channel of kombu makes a Redis client for each message",
            tested={"kombu": KOMBU, "redis": REDIS},
        ),
        Part(
            name="room beside rate limits",
            does="a worker takes other messages beside jobs that it holds back for a rate_limit",
            without=(
                "as many jobs held back for a rate_limit as a worker has slots keep it from "
                "other jobs"
            ),
            tested={"celery": CELERY},
        ),
        Part(
            name="status command",
            does="celery -A … status is the bridge's",
            without=(
                "celery -A … status is Celery's own, and the bridge's is celery -A … bridge-status"
            ),
            tested={"celery": CELERY},
            switched=False,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Off:
    """A part that is off.

    Attributes:
        untested: Whether it is off because of a version newer than the tested ones.
    """

    part: Part
    reason: str
    untested: bool


def enabled(name: Name) -> bool:
    """Whether this part may be used: with the installed versions, and by the user's setting."""
    return why_off(name) is None


def why_off(name: Name) -> Off | None:
    """Why this part is off; None when it is on."""
    part = PARTS[name]
    if part.switched and os.environ.get(SWITCH) == "off":
        return Off(part, f"{SWITCH} is off", untested=False)
    for package, (first, unknown) in part.tested.items():
        found = installed_version(package)
        if found < first:
            return Off(
                part,
                f"it needs {package} {_text(first)}, and {version(package)} is here",
                untested=False,
            )
        if found >= unknown:
            return Off(
                part,
                f"it was tested with {package} below {_text(unknown)} only, and "
                f"{version(package)} is here",
                untested=True,
            )
    return None


def all_off() -> Iterator[Off]:
    """The parts that are off here."""
    for part in PARTS.values():
        if off := why_off(part.name):
            yield off


def log_off(logger: Logger) -> None:
    """Log in one line what is off here, and why; nothing while all is on."""
    reasons: dict[str, list[str]] = {}
    for off in all_off():
        reasons.setdefault(off.reason, []).append(off.part.name)
    if reasons:
        text = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
        logger.warning("optional parts of the bridge that are off, see doctor: %s", text)


@cache
def installed_version(package: str) -> Version:
    """Major and minor number of an installed package."""
    major, minor = re.findall(r"\d+", version(package) + ".0")[:2]
    return int(major), int(minor)


def tested_range(package: str, part: Part) -> str:
    """A text such as "kombu 5.5 to 5.7", or "redis 5.0 to 8" when a major version is the bound."""
    first, unknown = part.tested[package]
    last = _text((unknown[0], unknown[1] - 1)) if unknown[1] else str(unknown[0] - 1)
    return f"{package} {_text(first)}" + (f" to {last}" if last != _text(first) else "")


def _text(number: Version) -> str:
    return ".".join(map(str, number))
