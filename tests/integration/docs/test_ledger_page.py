"""The sums of the worked example in docs/ledger.md are those of the store."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.model import Job, Outcome
from bridge.settings import Settings
from bridge.store import PollRefusal, Wish
from tests.fixtures_bridge import NUMBERS, Store

OK = Outcome(output="1")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"lease_s": 60.0})


class Example:
    """The fleet of the page: what it may open, and what it has."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.waiting: list[Job] = []
        self.runs: dict[str, list[Job]] = {"A": [], "B": [], "C": []}
        self._tokens: Iterator[str] = (f"token-{n}" for n in itertools.count())

    def announce(self, worker: str, slots: int, ordinary: int = 0) -> None:
        ids = [job.claim_id for job in self.runs[worker]]
        self.store.jobs.renew_lease(
            worker,
            number=next(NUMBERS),
            slots=slots,
            queues=["celery"],
            ordinary=ordinary,
            claim_ids=ids,
            active=ids,
        )

    def polls(self, *activities: str, want: int = 100) -> list[int]:
        """How many polls may be opened, and that they are not: of each of ``activities``."""
        wishes = [Wish(activity, "celery", fresh=0, want=want) for activity in activities]
        granted = self.store.run(self.store.claims.grant_polls("p1", wishes)).polls
        self.store.run(self.store.claims.withdraw_poller("p1"))
        return granted

    def claim(self, activity: str, count: int = 1) -> None:
        for _ in range(count):
            job = self.store.claim(next(self._tokens), activity=activity).job
            self.store.run(self.store.claims.mark_queued(job))
            self.waiting.append(job)

    def begin(self, worker: str, count: int = 1) -> None:
        for _ in range(count):
            job = self.waiting.pop(0)
            assert self.store.jobs.start(job, retry=0, worker=worker, run="r") == "run"
            self.runs[worker].append(job)

    def end(self, worker: str, count: int = 1) -> None:
        for _ in range(count):
            assert self.store.jobs.settle(self.runs[worker].pop(0), OK) == "stored"


@pytest.fixture
def example(store: Store) -> Example:
    made = Example(store)
    made.announce("A", 3)
    made.announce("B", 3)
    return made


def fill(example: Example) -> None:
    """Step 2: six jobs of ``render`` run, two claims wait."""
    example.claim("render", 8)
    example.begin("A", 3)
    example.begin("B", 3)
    time.sleep(0.3)  # longer than BRIDGE_LOOK_AHEAD_S: such jobs are long


def test_1_idle_polls_take_nothing(example):
    wishes = [Wish(name, "celery", fresh=0, idle=1, want=1) for name in ("resize", "invoice")]
    wishes.append(Wish("render", "celery", fresh=0, want=100))
    grant = example.store.run(example.store.claims.grant_polls("p1", wishes))
    assert grant.polls == [0, 0, 8]
    assert grant.refused == [PollRefusal.COVERED, PollRefusal.COVERED, PollRefusal.NO_ROOM]


def test_2_and_3_two_wait_and_an_idle_poll_brings_a_third(example):
    fill(example)
    assert example.polls("render") == [0]
    example.claim("invoice")
    assert example.polls("render", "invoice") == [0, 0]
    for polls in ([0, 0], [1, 0]):
        example.end("A")
        example.begin("A")
        assert example.polls("render", "invoice") == polls


def test_4_a_draining_worker_takes_nothing_from_the_new_one(example):
    fill(example)
    example.announce("B", 0)
    assert example.polls("render") == [0]
    example.announce("C", 3)
    assert example.polls("render") == [3]
    example.begin("C", 2)
    assert example.polls("render") == [3]
    example.claim("render", 3)
    example.begin("C")
    assert example.polls("render") == [0]


def test_5_slots_with_ordinary_tasks_are_not_offered(example):
    fill(example)
    example.end("A", 2)
    example.announce("A", 3, ordinary=2)
    assert example.polls("render") == [0], "two wait already, and one may"
    example.begin("A", 2)
    example.end("A", 2)
    assert example.polls("render") == [1]


def test_6_claims_in_a_countdown_take_nothing(example):
    for _ in range(50):
        example.claim("render")
        example.begin("A")
        job = example.runs["A"].pop()
        assert example.store.jobs.release(job, run="r", retry=1, delay_s=600)
    assert example.store.status("render").in_flight == 50
    assert example.polls("invoice") == [8]


def learn(example: Example) -> None:
    """A run of ``resize`` that takes next to nothing."""
    example.claim("resize")
    example.begin("A")
    example.end("A")


def test_7_four_short_claims_wait_a_slot(example):
    learn(example)
    example.claim("resize", 6)
    example.begin("A", 3)
    example.begin("B", 3)
    assert example.polls("resize") == [22 + 2]
    example.claim("resize", 22 + 2)
    assert example.polls("resize") == [0]


def test_8_a_long_run_ends_it(example):
    learn(example)
    example.claim("resize", 30)
    example.begin("A", 3)
    example.begin("B", 3)
    time.sleep(0.3)
    assert example.polls("resize", "render") == [0, 0]
    for _ in range(22):
        example.end("B")
        example.begin("B")
    assert example.polls("resize", "render") == [0, 0], "two wait"
    example.end("B")
    example.begin("B")
    assert example.polls("resize") == [1]


@pytest.mark.parametrize(
    "sum_of_a_step",
    [
        "6 × 1.25 = 7.5, rounded up to **8** claims",
        "8 − 6 = 2, and two claims wait",
        "4 − 3 = 1 | 2 | 0 |",
        "8 − 3 = 5 | 2 | 3 |",
        "8 − 5 = 3 | 0 | 3 |",
        "8 − 6 = 2 | 2 | 0 |",
        "4 × 1.25 = 5 claims",
        "1.5 s ÷ 66.7 ms = **22 claims wait by time",
        "**24** in all",
    ],
)
def test_the_page_has_these_sums(sum_of_a_step):
    page = Path(__file__).parents[3] / "docs" / "ledger.md"
    assert sum_of_a_step in page.read_text("utf-8")
