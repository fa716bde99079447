"""Grants of polls, checked against the rules of the ledger in plain Python (``tests/model``)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bridge.settings import Settings
from bridge.store import Wish
from tests.model.ledger import FORGOTTEN_AFTER_MS, Grants, Lane, Ledger, Polls, Worker
from tests.simulation.store_view import WAITS, Contents


class Asked(NamedTuple):
    """What a poller asked, and what it was granted."""

    poller: str
    wishes: list[Wish]
    polls: list[int]


def asked_of(args: Sequence[Any], answer: Any) -> Asked:
    """The arguments and the answer of ``grant_polls``; see its head."""
    poller, _, _, _, _, *rest = args
    wishes = [
        Wish(activity, queue, fresh=fresh, idle=idle, want=want, place=place)
        for activity, queue, fresh, idle, want, place in zip(*[iter(rest)] * 6, strict=True)
    ]
    return Asked(poller, wishes, answer[1])


def wrong_grant(asked: Asked, contents: Contents, settings: Settings, now_ms: float) -> str:
    """What is wrong with a grant, by the store's contents after it; empty: nothing."""
    ledger = _ledger(contents, settings, now_ms)
    right = Grants(ledger, asked.poller, asked.wishes).answer()
    if right.polls == asked.polls:
        return ""
    return f"{asked.poller} is granted {asked.polls} for {asked.wishes}; the rules say {right}"


def _ledger(contents: Contents, settings: Settings, now_ms: float) -> Ledger:
    ledger = Ledger(
        workers=list(_workers(contents, now_ms)),
        polls={poller: _polls(contents, poller) for poller in contents.zset("pollers")},
        throttled=frozenset(key.partition(":")[2] for key in contents.keys if "throttled:" in key),
        look_ahead=settings.look_ahead,
        look_ahead_ms=round(settings.look_ahead_s * 1000),
        look_ahead_most=settings.look_ahead_most,
    )
    suspended = {*contents.zset("countdown"), *contents.hash("held_back")}
    for claim_id, claim in contents.in_flight.items():
        if claim.state in WAITS and claim_id not in suspended:
            ledger.waiting[Lane(claim.activity, claim.queue)] += 1
        elif claim.state == "running":
            age_ms = round(now_ms - claim.begun_ms)
            known_ms = ledger.running_for_ms.get(claim.activity, 0)
            ledger.running_for_ms[claim.activity] = max(age_ms, known_ms)
    for activity, runs in contents.hash("lasted").items():
        longest_ms, ended_ms, *_ = runs.split()
        if now_ms - int(ended_ms) < FORGOTTEN_AFTER_MS:
            ledger.longest_ms[activity] = int(longest_ms)
    return ledger


def _workers(contents: Contents, now_ms: float) -> Iterator[Worker]:
    for name, ends_ms in contents.zset("workers").items():
        if ends_ms < now_ms:
            continue
        announced = json.loads(contents.hash("fleet")[name])
        runs = Counter(
            claim.activity
            for claim in contents.in_flight.values()
            if claim.state == "running" and claim.worker == name
        )
        yield Worker(
            announced["slots"],
            frozenset(announced["queues"]),
            announced["ordinary"],
            len(contents.set(f"unwanted:{name}")),
            runs,
        )


def _polls(contents: Contents, poller: str) -> dict[Lane, Polls]:
    polls = {}
    for lane, open_ in contents.hash(f"polls:{poller}").items():
        activity, _, queue = lane.partition("|")
        fresh, idle = map(int, open_.split())
        polls[Lane(activity, queue)] = Polls(fresh, idle)
    return polls
