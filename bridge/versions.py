"""Parts of the bridge that reach into Celery, kombu or redis-py, and their tested versions.

Everything that must be right rests on public interfaces. The parts below make the bridge cheaper or
sturdier by what is not public, so each is used only with versions that the tests ran with;
elsewhere it is off, and the bridge is slower, or less sturdy, as its row says.
``BRIDGE_OPTIMIZATIONS=off`` switches off all that changes how processes work.

Nothing here imports the packages: whether a part may be imported is decided first.
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
"""``on`` or ``off``. Read here and not from ``Settings``: an app is installed before its settings
are read. ``Settings`` checks the value."""

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


@dataclass(frozen=True, slots=True)
class Part:
    """One part that may be off.

    Attributes:
        name: For logs, ``doctor`` and ``enabled``.
        does: What it does.
        without: How the bridge behaves while it is off.
        tested: Package → the first version that it works with, and the first that it was not tested
            with; major and minor number.
        switched: Whether ``BRIDGE_OPTIMIZATIONS`` holds for it.
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
            "batch publishing",
            "several jobs are published in one round trip to Redis (kombu's Producer.batch)",
            "each job is published in a round trip of its own",
            {"kombu": ((5, 7), (5, 8))},
        ),
        Part(
            "gathered deliveries",
            "a worker tells Redis ten times a second what it has taken and acknowledged",
            "a worker tells Redis of each job twice",
            {"celery": CELERY, "kombu": KOMBU},
        ),
        Part(
            "gathered events",
            "a worker publishes its task events ten times a second",
            "a worker publishes its task events with each turn of its loop",
            {"celery": CELERY},
        ),
        Part(
            "batch receiving",
            "a worker takes several jobs from Redis in one round trip (BLMPOP)",
            "a worker takes jobs from Redis one by one",
            {"celery": CELERY, "kombu": ((5, 7), (5, 8)), "redis": REDIS},
        ),
        Part(
            "broker loss mend",
            "a worker with unacknowledged messages survives the loss of Redis",
            "a worker with unacknowledged messages may end when Redis goes away, and must be "
            "started again; its claims are recovered",
            {"kombu": KOMBU},
        ),
        Part(
            "prefetch mend",
            "a worker with --pool threads goes on after a restart of RabbitMQ",
            "a worker with --pool threads that runs tasks when RabbitMQ goes away may take none "
            "when it is back, and must be started again; set "
            "worker_enable_prefetch_count_reduction = False",
            {"celery": CELERY},
        ),
        Part(
            "refusal mend",
            "a worker waits for a Redis that refuses writes for now, as for one that is away",
            "a worker ends when Redis refuses writes (a failover, too few replicas, a full "
            "memory), and must be started again; its claims are recovered",
            {"celery": ((5, 7), (5, 8)), "kombu": ((5, 7), (5, 8)), "redis": REDIS},
        ),
        Part(
            "shared broker client",
            "a channel of kombu keeps one Redis client",
            "a channel of kombu makes a Redis client for each message",
            {"kombu": KOMBU, "redis": REDIS},
        ),
        Part(
            "room beside rate limits",
            "a worker takes other messages beside jobs that it holds back for a rate_limit",
            "as many jobs held back for a rate_limit as a worker has slots keep it from other jobs",
            {"celery": CELERY},
        ),
        Part(
            "status command",
            "celery -A … status is the bridge's",
            "celery -A … status is Celery's own, and the bridge's is celery -A … bridge-status",
            {"celery": CELERY},
            switched=False,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Off:
    """A part that is off.

    Attributes:
        untested: Whether the reason is a version that is newer than those it was tested with.
    """

    part: Part
    reason: str
    untested: bool


def enabled(name: Name) -> bool:
    """Whether this part may be used, with the versions that are installed and as the user set."""
    return why_off(name) is None


def why_off(name: Name) -> Off | None:
    """Why this part is off; None: it is on."""
    part = PARTS[name]
    if part.switched and os.environ.get(SWITCH) == "off":
        return Off(part, f"{SWITCH} is off", untested=False)
    for package, (first, unknown) in part.tested.items():
        found = installed_version(package)
        if found < first:
            return Off(
                part,
                f"it needs {package} {_said(first)}, and {version(package)} is here",
                untested=False,
            )
        if found >= unknown:
            return Off(
                part,
                f"it was tested with {package} below {_said(unknown)} only, and "
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
        said = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
        logger.warning("optional parts of the bridge that are off, see doctor: %s", said)


@cache
def installed_version(package: str) -> Version:
    """Major and minor number of an installed package."""
    major, minor = re.findall(r"\d+", version(package) + ".0")[:2]
    return int(major), int(minor)


def tested_range(package: str, part: Part) -> str:
    """Such as "kombu 5.5 to 5.7"; the last number of redis-py's and its like is its major."""
    first, unknown = part.tested[package]
    last = _said((unknown[0], unknown[1] - 1)) if unknown[1] else str(unknown[0] - 1)
    return f"{package} {_said(first)}" + (f" to {last}" if last != _said(first) else "")


def _said(number: Version) -> str:
    return ".".join(map(str, number))
