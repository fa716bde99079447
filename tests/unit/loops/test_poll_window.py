"""How many polls of an activity are kept open; time is simulated."""

from __future__ import annotations

import heapq
import itertools

import pytest

from bridge.loops.open_polls import IDLE_AFTER_S, ActivityPolls
from bridge.loops.poll_window import Window

MOST = 100


@pytest.fixture
def polls():
    return ActivityPolls(activity=None, arn="arn", place="", window=Window(MOST))


def saturated(polls, *, cycle_s, until_s, cpu_s=0.0, start_s=1000.0):
    """Poll while tasks wait for every poll, each of which takes so long; sizes of the window.

    Args:
        cpu_s: What a task takes of something that all polls share, as a process's CPU.
    """
    now, free_at, order = start_s, start_s, itertools.count()
    open_polls, sizes = [], [polls.window.size]
    while now < start_s + until_s:
        for _ in range(polls.want(now)):
            free_at = max(free_at, now) + cpu_s
            answered_at = max(now + cycle_s, free_at)
            heapq.heappush(open_polls, (answered_at, next(order), polls.add(now)))
        now, _, poll = heapq.heappop(open_polls)
        polls.note_task(poll, now)
        polls.remove(poll)
        polls.age(now)
        polls.window.ask()
        polls.window.measure(now)
        if polls.window.size != sizes[-1]:
            sizes.append(polls.window.size)
    return sizes


class TestWindow:
    @pytest.mark.parametrize("cycle_s", [0.003, 0.01, 0.1], ids="{} s".format)
    def test_it_grows_while_every_poll_finds_a_task(self, polls, cycle_s):
        """From AWS as from a server beside it: eight polls within a second."""
        sizes = saturated(polls, cycle_s=cycle_s, until_s=1.0)
        assert sizes[-1] >= 8
        assert all(later <= 1.5 * size + 2 for size, later in itertools.pairwise(sizes))

    def test_it_never_grows_beyond_the_most(self, polls):
        assert max(saturated(polls, cycle_s=0.01, until_s=2.0)) == MOST

    def test_it_ends_to_grow_where_more_polls_bring_nothing_more(self, polls):
        """A poller that is busy all the time: 1,000 tasks a second, with one poll or with ten."""
        sizes = saturated(polls, cycle_s=0.003, cpu_s=0.001, until_s=2.0)
        assert 10 <= sizes[-1] <= 40

    def test_it_falls_where_slots_are_what_is_scarce(self, polls):
        """Each poll waits for a slot, 5 a second, and finds its task within 10 ms."""
        polls.window.size = 20
        now = 1000.0
        for _ in range(15):
            poll = polls.add(now)
            polls.note_task(poll, now + 0.01)
            polls.remove(poll)
            polls.window.ask()
            polls.window.measure(now + 0.01)
            now += 0.2
        assert polls.window.size == 1

    def test_it_falls_where_no_slot_becomes_free(self, polls):
        saturated(polls, cycle_s=0.01, until_s=0.5)
        now = 1000.6
        while now < 1003:
            polls.window.ask()
            polls.window.measure(now)
            now += 0.5
        assert polls.window.size == 1

    def test_an_idle_poll_sets_it_back(self, polls):
        saturated(polls, cycle_s=0.01, until_s=0.5)
        assert polls.window.size > 4
        now = 1001.0
        polls.add(now)
        polls.age(now + IDLE_AFTER_S)
        assert polls.window.size == 1

    def test_few_tasks_that_polls_wait_for_are_no_reason_to_grow(self, polls):
        """20 tasks a second, 50 ms apart: one poll is open all the time and finds each at once."""
        now, size = 1000.0, 1
        for n in range(200):
            poll = polls.add(now)
            now += 0.012 if n % 8 == 0 else 0.05
            polls.note_task(poll, now)
            polls.remove(poll)
            polls.window.ask()
            polls.window.measure(now)
            size = max(size, polls.window.size)
        assert size <= 2

    def test_how_long_an_idle_poll_waited_counts_for_nothing(self, polls):
        poll = polls.add(1000.0)
        polls.age(1001.0)
        polls.note_task(poll, 1030.0)
        polls.remove(poll)
        polls.window.ask()
        polls.window.measure(1030.01)
        assert polls.window.size == 1
        assert saturated(polls, cycle_s=0.05, until_s=1.0, start_s=1030.01)[-1] >= 8

    def test_polls_that_fail_halve_it(self, polls):
        saturated(polls, cycle_s=0.01, until_s=0.5)
        size = polls.window.size
        polls.window.halve()
        assert polls.window.size == size // 2
