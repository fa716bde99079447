"""The rules of the capacity ledger in plain Python: how many polls may a poller open?

Written from the rules, not from the scripts; by brute force where that is clearer. A charged claim
is one that takes waiting room: it waits, or a poll that is open may still bring it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

from bridge.store import PollRefusal, Wish

Class = frozenset[str]
"""The queues that the workers of a class consume."""
Group = frozenset[Class]
"""The classes that serve a queue: queues of the same classes share their room."""
FORGOTTEN_AFTER_MS = 3_600_000


class Lane(NamedTuple):
    """An activity, and the queue that its claims wait in."""

    activity: str
    queue: str


class Polls(NamedTuple):
    """One poller's open polls on a lane."""

    fresh: int = 0
    idle: int = 0


@dataclass(frozen=True)
class Worker:
    """A worker with a lease, as it announced itself."""

    slots: int
    queues: Class
    ordinary: int = 0
    unwanted: int = 0
    running: Counter[str] = field(default_factory=Counter)
    """Activity → claims that it runs."""

    @property
    def offered(self) -> int:
        return max(0, self.slots - self.ordinary - self.unwanted)

    @property
    def used(self) -> int:
        return min(self.offered, self.running.total())


@dataclass
class Ledger:
    """Who occupies what at one instant; times in ms.

    Attributes:
        workers: Live ones. One that drains, with no slots, counts for nothing.
        waiting: Claims that are stored or queued, due, and not held back.
        longest_ms: Activity → longest of its last runs; absent: not known.
        running_for_ms: Activity → for how long the oldest of its running jobs has run.
        held_back: Activity → claims that workers hold back for a ``rate_limit``.
        polls: Poller → its open polls; every live poller is there.
        throttled: Places where Step Functions throttles calls that matter more.
    """

    workers: list[Worker] = field(default_factory=list)
    waiting: Counter[Lane] = field(default_factory=Counter)
    longest_ms: dict[str, int] = field(default_factory=dict)
    running_for_ms: dict[str, int] = field(default_factory=dict)
    held_back: Counter[str] = field(default_factory=Counter)
    polls: dict[str, dict[Lane, Polls]] = field(default_factory=dict)
    throttled: frozenset[str] = frozenset()
    look_ahead: float = 1.25
    look_ahead_ms: int = 250
    look_ahead_most: float = 4.0

    # Workers

    def serving(self, queue: str) -> list[Worker]:
        return [worker for worker in self.workers if worker.slots and queue in worker.queues]

    def group(self, queue: str) -> Group:
        return frozenset(worker.queues for worker in self.serving(queue))

    def members(self, of: Class) -> list[Worker]:
        return [worker for worker in self.workers if worker.slots and worker.queues == of]

    # Activities

    def is_short(self, activity: str) -> bool:
        longest = self.longest_ms.get(activity)
        return (
            longest is not None
            and 0 <= longest <= self.look_ahead_ms > 0
            and self.most_by_time > 0
            and self.running_for_ms.get(activity, 0) <= self.look_ahead_ms
        )

    @property
    def most_by_time(self) -> Fraction:
        """Claims that may wait by time, a slot: all that may wait, but for those by count."""
        return Fraction(self.look_ahead_most) - (Fraction(self.look_ahead) - 1)

    def takes_ms(self, activity: str) -> Fraction:
        """What a claim of a short activity takes of the room by time."""
        least_ms = self.look_ahead_ms / self.most_by_time
        return max(Fraction(self.longest_ms[activity]), least_ms)

    def idle(self, activity: str) -> int:
        return sum(
            polls.idle
            for lanes in self.polls.values()
            for lane, polls in lanes.items()
            if lane.activity == activity
        )

    # What takes room

    def charged(self) -> Counter[Lane]:
        """Claims that take waiting room; the first idle poll of an activity is free."""
        charged = Counter(self.waiting)
        for lanes in self.polls.values():
            for lane, polls in lanes.items():
                charged[lane] += polls.fresh + polls.idle
        for lane in charged:
            charged[lane] -= min(1, self.idle(lane.activity))
        return charged

    def short_and_long(self) -> tuple[Counter[Lane], Counter[Lane]]:
        """Charged claims of short activities, and those of all others."""
        short = Counter(
            {
                lane: claims
                for lane, claims in self.charged().items()
                if self.is_short(lane.activity)
            }
        )
        return short, self.charged() - short

    def demand_for_long(self) -> Counter[Group]:
        """By count; of short claims the part that they take, so that they keep no long one out."""
        short, long = self.short_and_long()
        short_ms = Counter[Group]()
        for lane, claims in short.items():
            short_ms[self.group(lane.queue)] += claims * self.longest_ms[lane.activity]
        demand = Counter({group: ms // self.look_ahead_ms for group, ms in short_ms.items()})
        for lane, claims in long.items():
            demand[self.group(lane.queue)] += claims
        return demand

    def demand_for_short(self) -> Counter[Group]:
        """By count; of short claims those that exceed the room by time, each whole."""
        short, long = self.short_and_long()
        demand, shorts = Counter[Group](), Counter[Group]()
        for lane, claims in long.items():
            demand[self.group(lane.queue)] += claims
        for lane, claims in short.items():
            shorts[self.group(lane.queue)] += claims
        for group, claims in shorts.items():
            free_ms, taken_ms = self.time_ms(group)
            if taken_ms > free_ms:
                demand[group] += math.ceil(claims * (1 - free_ms / taken_ms))
        return demand

    def rooms(self) -> dict[Class, int]:
        """How many charged claims the workers of each class take."""
        rooms = {}
        for queues in {worker.queues for worker in self.workers}:
            offered = sum(worker.offered for worker in self.members(queues))
            used = sum(worker.used for worker in self.members(queues))
            rooms[queues] = max(0, math.ceil(self.look_ahead * offered) - used)
        return rooms

    # What fits

    def fits_by_count(self, lane: Lane) -> bool:
        """Whether one more claim finds room beside all that found some before."""
        is_short = self.is_short(lane.activity)
        demand = self.demand_for_short() if is_short else self.demand_for_long()
        one_more = demand + Counter([self.group(lane.queue)])
        return placed(one_more, self.rooms()) > placed(demand, self.rooms())

    def time_ms(self, classes: Group) -> tuple[Fraction, Fraction]:
        """What the slots that no long claim takes will do soon, and what of it is taken."""
        short, long = self.short_and_long()
        slots = 0
        for queues in classes:
            members = self.members(queues)
            runs_long = sum(
                claims
                for worker in members
                for activity, claims in worker.running.items()
                if not self.is_short(activity)
            )
            slots += max(0, sum(worker.offered for worker in members) - runs_long)
        slots -= sum(claims for lane, claims in long.items() if self.group(lane.queue) & classes)
        taken_ms = sum(
            (
                claims * self.takes_ms(lane.activity)
                for lane, claims in short.items()
                if self.group(lane.queue) & classes
            ),
            start=Fraction(0),
        )
        return Fraction(max(0, slots) * self.look_ahead_ms), taken_ms

    def has_room(self, lane: Lane) -> bool:
        """By time only for a short activity: nothing waits behind a long claim for it."""
        if self.is_short(lane.activity):
            free_ms, taken_ms = self.time_ms(self.group(lane.queue))
            if taken_ms + self.takes_ms(lane.activity) <= free_ms:
                return True
        return self.fits_by_count(lane)


def placed(demand: Counter[Group], rooms: dict[Class, int]) -> int:
    """How many of these claims find room at once: a maximum flow from groups to classes.

    By its least cut: the claims of some groups fill all the classes that serve any of these; those
    of all other groups are placed in full.
    """
    return min(
        sum(claims for group, claims in demand.items() if group not in filling)
        + sum(room for queues, room in rooms.items() if any(queues in group for group in filling))
        for filling in subsets(demand)
    )


def subsets(of: Iterable[Group]) -> Iterable[tuple[Group, ...]]:
    every = list(of)
    return itertools.chain.from_iterable(
        itertools.combinations(every, size) for size in range(len(every) + 1)
    )


@dataclass(frozen=True)
class Answer:
    """What a poller may open of each wish, and why not more."""

    polls: list[int]
    refused: list[PollRefusal]


class Grants:
    """One poller's wishes against a ledger; a poll that is granted is charged at once."""

    def __init__(self, ledger: Ledger, poller: str, wishes: Sequence[Wish]) -> None:
        self.ledger = ledger
        self.wishes = wishes
        self.granted = [0] * len(wishes)
        self.refused = [PollRefusal.NONE] * len(wishes)
        self.mine = ledger.polls[poller] = {
            Lane(wish.activity, wish.queue): Polls(wish.fresh, wish.idle) for wish in wishes
        }
        self.shares = {lane: self.share(lane) for lane in self.mine}

    def answer(self) -> Answer:
        """The fewest polls first, then in the order of the wishes: the longest-waiting turn."""
        most = max((wish.fresh + wish.want for wish in self.wishes), default=0)
        for level in range(most):
            for index, wish in enumerate(self.wishes):
                has = wish.fresh + self.granted[index]
                if has != level or self.granted[index] == wish.want or self.refused[index]:
                    continue
                self.refused[index] = self.refusal(wish)
                if not self.refused[index]:
                    self.granted[index] += 1
                    self.mine[Lane(wish.activity, wish.queue)] = Polls(has + 1, wish.idle)
        return Answer(self.granted, self.refused)

    def refusal(self, wish: Wish) -> PollRefusal:
        """Why one more poll is refused now; NONE: it is granted."""
        lane = Lane(wish.activity, wish.queue)
        ledger = self.ledger
        if wish.place in ledger.throttled:
            return PollRefusal.THROTTLED
        if not ledger.serving(wish.queue):
            return PollRefusal.NO_WORKER
        if ledger.held_back[wish.activity] >= len(ledger.serving(wish.queue)):
            return PollRefusal.HELD_BACK
        if self.is_covered(wish):
            return PollRefusal.COVERED
        if not ledger.has_room(lane):
            return PollRefusal.NO_ROOM
        if self.charged_polls(lane) >= self.shares[lane]:
            return PollRefusal.SHARE
        return PollRefusal.NONE

    def is_covered(self, wish: Wish) -> bool:
        """Whether the queue is known to be empty, or another poller's one poll will soon tell.

        A poller that would have more than one poll, or has, knows of tasks.
        """
        fresh = [
            polls.fresh
            for polls in (
                lanes.get(Lane(wish.activity, wish.queue), Polls())
                for lanes in self.ledger.polls.values()
            )
        ]
        first = wish.fresh == 0 and wish.want == 1
        return self.ledger.idle(wish.activity) > 0 or (first and max(fresh) == 1)

    # The poller's part of the room: of that for short activities, and of that for long ones

    def charged_polls(self, lane: Lane) -> int:
        """Of this poller, in the same room."""
        ledger = self.ledger
        return sum(
            polls.fresh + max(0, polls.idle - 1)
            for other, polls in self.mine.items()
            if ledger.group(other.queue) == ledger.group(lane.queue)
            and ledger.is_short(other.activity) == ledger.is_short(lane.activity)
        )

    def share(self, lane: Lane) -> float:
        """Of the room that would be left without any poll; a poller that is alone may have all."""
        if len(self.ledger.polls) == 1:
            return math.inf
        without = replace(self.ledger, polls={})
        short = without.is_short(lane.activity)
        group, rooms = without.group(lane.queue), without.rooms()
        demand = without.demand_for_short() if short else without.demand_for_long()
        endless = Counter({group: sum(rooms.values())})
        left = placed(demand + endless, rooms) - placed(demand, rooms)
        if short:
            free_ms, taken_ms = without.time_ms(group)
            left += max(0, math.floor((free_ms - taken_ms) / without.takes_ms(lane.activity)))
        return math.ceil(left / len(self.ledger.polls))
