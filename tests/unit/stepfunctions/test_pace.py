"""Which call goes next while Step Functions throttles."""

from __future__ import annotations

import asyncio
import functools
import itertools
import random

import pytest

from bridge.stepfunctions.pace import FORGET_S, MIN_RATE, Pace, Priority


def on_a_loop(test):
    """Run an async test to its end."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


class Quota:
    """Step Functions' side: a bucket that is refilled at a rate."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst, self.tokens, self.at = rate, burst, burst, None
        self.refused = 0

    def takes(self, now: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - (self.at or now)) * self.rate)
        self.at = now
        if self.tokens < 1:
            self.refused += 1
            return False
        self.tokens -= 1
        return True


async def call(pace: Pace, quota: Quota, priority: Priority, urgency: float = 0.0) -> int:
    """One call, until it is taken; how often it was refused."""
    refused = 0
    while True:
        await pace.turn(priority, urgency)
        if quota.takes(asyncio.get_running_loop().time()):
            pace.taken()
            return refused
        pace.throttled()
        refused += 1


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    now = [1000.0]
    monkeypatch.setattr("bridge.stepfunctions.pace._now", lambda: now[0])
    return now


@on_a_loop
async def test_nothing_waits_before_the_first_refusal():
    pace = Pace()
    async with asyncio.timeout(1):
        for _ in range(10_000):
            await pace.turn(Priority.POLL)
            pace.taken()
    assert pace.rate is None
    assert not pace.throttled_recently


@on_a_loop
async def test_reports_are_sent_first_then_heartbeats_by_urgency_then_polls():
    pace = Pace()
    for _ in range(200):
        pace.taken()
    pace.throttled()
    wanted = [(p, u) for p in Priority for u in (1.0, 2.0, 3.0) for _ in range(3)]
    shuffled = random.Random(7).sample(wanted, len(wanted))
    went: list[tuple[Priority, float]] = []

    async def one(priority: Priority, urgency: float) -> None:
        await pace.turn(priority, urgency)
        went.append((priority, urgency))

    # The first of them may leave at once; what comes later finds a queue.
    await pace.turn(Priority.POLL)
    await pace.turn(Priority.POLL)
    await asyncio.gather(*(one(*w) for w in shuffled))
    late = sum(earlier > later for earlier, later in itertools.pairwise(went))
    assert sorted(went) == wanted
    # Some thirteen without an order. What a halted machine owes leaves together when it goes on.
    assert late <= 4, went


@on_a_loop
async def test_a_call_that_is_cancelled_takes_no_turn():
    pace = Pace()
    for _ in range(50):
        pace.taken()
    pace.throttled()
    waiting = [asyncio.create_task(pace.turn(Priority.POLL)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    async with asyncio.timeout(2):
        await pace.turn(Priority.POLL)


@on_a_loop
async def test_the_rate_settles_near_the_quota():
    """300 calls against 100 a second: few are refused, and most of the quota is used."""
    pace, quota = Pace(), Quota(rate=100, burst=20)
    loop = asyncio.get_running_loop()
    started = loop.time()
    refused = await asyncio.gather(*(call(pace, quota, Priority.REPORT) for _ in range(300)))
    lasted_s = loop.time() - started
    assert lasted_s < 2.5 * 300 / 100
    assert max(refused) < 40
    assert pace.throttled_recently or pace.rate


class TestRate:
    @on_a_loop
    async def test_it_starts_at_the_rate_that_was_taken_lately(self, clock):
        pace = Pace()
        for _ in range(30):
            pace.taken()
        clock[0] += 0.5
        pace.throttled()
        assert pace.rate == 30

    @on_a_loop
    async def test_it_never_falls_to_nothing(self, clock):
        pace = Pace()
        for _ in range(50):
            pace.throttled()
            clock[0] += 1
        assert pace.rate == MIN_RATE

    @on_a_loop
    async def test_calls_that_left_together_count_once(self, clock):
        pace = Pace()
        for _ in range(100):
            pace.taken()
        for _ in range(60):
            pace.throttled()
        assert pace.rate == 100

    @on_a_loop
    async def test_it_rises(self, clock):
        pace = Pace()
        for _ in range(10):
            pace.taken()
        pace.throttled()
        clock[0] += 2
        await pace.turn(Priority.REPORT)
        assert pace.rate == pytest.approx(40), "fast, until it is refused again"
        pace.throttled()
        clock[0] += 2
        await pace.turn(Priority.REPORT)
        assert pace.rate == pytest.approx(40 * 0.8 * 1.25**2)

    @on_a_loop
    async def test_it_is_forgotten(self, clock):
        pace = Pace()
        pace.throttled()
        clock[0] += FORGET_S + 1
        await pace.turn(Priority.POLL)
        assert pace.rate is None
