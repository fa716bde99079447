"""Pollers, workers and Step Functions, played against the real grants for minutes of a false clock.

Whatever the fleet: what is claimed is bounded by slots and waiting room, and no execution waits at
Step Functions while a worker has a slot for it.
"""

from __future__ import annotations

import math
import os
from collections import Counter, deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bridge.local.valkey import LocalValkey
from bridge.store import Wish
from tests.model.false_clock import on_a_false_clock
from tests.model.fleet import Announced, Fleet, Held, Stores
from tests.model.ledger import Lane

pytestmark = pytest.mark.timeout(600)
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "60")) // 5
STEP_S, IDLE_AFTER_S, POLL_S = 0.25, 0.5, 60.0
MOST_STEPS = 1_000


@pytest.fixture(scope="module")
def stores():
    with ExitStack() as stack:
        stack.enter_context(mock.patch("bridge.store.scripts.script", on_a_false_clock))
        valkey = stack.enter_context(LocalValkey())
        made = Stores(store_url=valkey.url)
        stack.callback(made.close)
        yield made


@dataclass
class Poll:
    poller: str
    lane: Lane
    since_s: float


@dataclass
class Play:
    """What runs where, and what waits at Step Functions."""

    fleet: Fleet
    lasts_s: dict[Lane, float]
    """How long a job of the activity takes."""
    pollers: tuple[str, ...]
    at_aws: dict[Lane, deque[float]] = field(default_factory=dict)
    """Since when each execution waits there."""
    polls: list[Poll] = field(default_factory=list)
    queued: deque[Held] = field(default_factory=deque)
    slack_since: dict[str, float] = field(default_factory=dict)
    """Queue → since when a worker has had a slot for more of it than waits."""
    turn: int = 0
    drained: set[str] = field(default_factory=set)

    @property
    def now_s(self) -> float:
        return self.fleet.now_s

    def step(self) -> None:
        self.fleet.move(STEP_S)
        self.jobs_end()
        self.polls = [poll for poll in self.polls if self.now_s - poll.since_s < POLL_S]
        for poller in self.pollers:
            while self.ask(poller):  # it asks again when what it found is stored
                pass
        self.jobs_start()
        self.turn += 1

    def jobs_end(self) -> None:
        now_ms = self.fleet.now_ms
        running = [claim for claim in self.fleet.claims if claim.state == "running"]
        ended = [c for c in running if now_ms - c.began_ms >= 1000 * self.lasts_s[c.lane]]
        for claim in ended:
            self.fleet.settle(claim)
        if ended:
            self.fleet.close(ended)
            self.fleet.claims = [c for c in self.fleet.claims if c.state != "closed"]

    def jobs_start(self) -> None:
        """Each worker takes what came first of its queues."""
        running = Counter(c.worker for c in self.fleet.claims if c.state == "running")
        for name, worker in self.fleet.workers.items():
            for claim in list(self.queued):
                if running[name] + worker.ordinary >= worker.slots:
                    break
                if claim.lane.queue in worker.queues:
                    self.queued.remove(claim)
                    self.fleet.start(claim, name)
                    running[name] += 1

    def ask(self, poller: str) -> int:
        """For one poll on each activity, in their turn; how many tasks these find."""
        lanes = list(self.lasts_s)
        lanes = lanes[self.turn % len(lanes) :] + lanes[: self.turn % len(lanes)]
        wishes = []
        for lane in lanes:
            mine = [p for p in self.polls if (p.poller, p.lane) == (poller, lane)]
            idle = sum(self.now_s - poll.since_s >= IDLE_AFTER_S for poll in mine)
            want = max(0, 1 - len(mine))
            wishes.append(Wish(*lane, len(mine) - idle, want, idle))
        grant = self.fleet.ask(poller, wishes)
        for lane, granted in zip(lanes, grant.polls, strict=True):
            self.polls += [Poll(poller, lane, self.now_s) for _ in range(granted)]
        return self.answer()

    def begin(self, lane: Lane, executions: int) -> None:
        self.at_aws.setdefault(lane, deque()).extend([self.now_s] * executions)
        self.answer()

    def answer(self) -> int:
        """Step Functions gives a task to the poll that has waited longest."""
        found = 0
        for poll in list(self.polls):
            if self.at_aws.get(poll.lane):
                self.at_aws[poll.lane].popleft()
                self.polls.remove(poll)
                found += 1
                self.queued += self.fleet.store([poll.lane], poller=poll.poller)
        return found

    # What must hold

    def check_bound(self, *, most: int) -> None:
        """No more is claimed than fits."""
        assert len(self.queued) + self.running() <= most

    def running(self) -> int:
        return sum(claim.state == "running" for claim in self.fleet.claims)

    def check_slack(self, *, at_most_s: float) -> None:
        """No execution waits while a worker has had a slot for it for so long."""
        running = Counter(c.worker for c in self.fleet.claims if c.state == "running")
        free = {
            queue
            for name, worker in self.fleet.workers.items()
            if worker.slots - worker.ordinary - running[name] > 0
            for queue in worker.queues
        }
        for queue in {lane.queue for lane in self.lasts_s}:
            if queue not in free:
                self.slack_since.pop(queue, None)
            else:
                self.slack_since.setdefault(queue, self.now_s)
        for lane, since in self.at_aws.items():
            if since and lane.queue in self.slack_since:
                begun_s = max(since[0], self.slack_since[lane.queue])
                assert self.now_s - begun_s <= at_most_s, (lane, since[0])

    @property
    def is_over(self) -> bool:
        return not any(self.at_aws.values()) and not self.queued and not self.running()


@dataclass(frozen=True)
class Story:
    workers: dict[str, Announced]
    lasts_s: dict[Lane, float]
    pollers: int
    waits_s: float
    """Before the executions begin."""
    executions: dict[Lane, int]
    drains: str | None

    @property
    def most(self) -> int:
        """What may be claimed: slots, waiting room, one claim an activity by its idle poll."""
        slots = sum(worker.slots for worker in self.workers.values())
        if self.drains:  # what waits for it stays where it is
            slots += 2 * self.workers[self.drains].slots
        each = 1.25 if min(self.lasts_s.values()) > 0.25 else 1 + 4
        return math.ceil(each * slots) + len(self.workers) + len(self.lasts_s)


@st.composite
def stories(draw: Callable) -> Story:
    queues = ("q1", "q2", "q3")[: draw(st.integers(1, 3))]
    some_queues = st.frozensets(st.sampled_from(queues), min_size=1)
    names = [f"w{n}" for n in range(draw(st.integers(1, 3)))]
    workers = {
        name: Announced(
            draw(st.sampled_from([2, 4, 5])), draw(some_queues), draw(st.sampled_from([0, 0, 1]))
        )
        for name in names
    }
    served = sorted(frozenset().union(*(worker.queues for worker in workers.values())))
    lanes = [Lane(f"a{n}", draw(st.sampled_from(served))) for n in range(draw(st.integers(1, 8)))]
    lasts = st.sampled_from([0.2, 1.0, 3.0])
    return Story(
        workers,
        {lane: draw(lasts) for lane in lanes},
        pollers=draw(st.integers(1, 4)),
        waits_s=draw(st.sampled_from([0.0, 1.0, 6.0])),
        executions=draw(
            st.dictionaries(st.sampled_from(lanes), st.integers(1, 6), min_size=1, max_size=4)
        ),
        drains=draw(st.sampled_from([None, *names])),
    )


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=True,
    phases=set(Phase) - {Phase.explain},
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(story=stories())
def test_every_slot_is_used_and_no_claim_waits_beyond_the_room(stores, story):
    fleet = Fleet(stores)
    play = Play(fleet, story.lasts_s, tuple(f"p{n}" for n in range(story.pollers)))
    for name, worker in story.workers.items():
        fleet.renew(name, worker)
    while fleet.now_s < 1_000_000 + story.waits_s:
        play.step()
    for lane, executions in story.executions.items():
        play.begin(lane, executions)
    if story.drains:  # as a rolling deploy does
        old = fleet.workers[story.drains]
        fleet.renew("new", Announced(old.slots, old.queues, old.ordinary))
        fleet.renew(story.drains, Announced(0, old.queues))
    # A fresh poll holds its room for as long as it is fresh: in one slot activities take turns.
    turns_s = IDLE_AFTER_S * len(story.lasts_s) + 4 * STEP_S
    while not play.is_over:
        assert play.turn < MOST_STEPS, "what waits is not done, and never will be"
        play.step()
        play.check_bound(most=story.most)
        play.check_slack(at_most_s=turns_s)
    # All that ends is forgotten, and every activity has its idle poll, once.
    for _ in range(math.ceil(turns_s / STEP_S)):
        play.step()
    idle = Counter(p.lane for p in play.polls if play.now_s - p.since_s >= IDLE_AFTER_S)
    assert set(idle) == set(story.lasts_s)
