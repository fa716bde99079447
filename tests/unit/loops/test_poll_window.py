"""Which polls of an activity are idle, and how many it would have open; time is simulated."""

from __future__ import annotations

import heapq
import itertools
import math

import pytest

from bridge.loops.poll_window import IDLE_AFTER_S, Lane, Window

MOST = 100


@pytest.fixture
def lane():
    return Lane(activity=None, arn="arn", place="", window=Window(MOST))


def saturated(lane, *, cycle_s, until_s, cpu_s=0.0, start_s=1000.0):
    """Poll while tasks wait for every poll, each of which takes so long; sizes of the window.

    Args:
        cpu_s: What a task takes of something that all polls share, as a process's CPU.
    """
    now, free_at, order = start_s, start_s, itertools.count()
    open_polls, sizes = [], [lane.window.size]
    while now < start_s + until_s:
        for _ in range(lane.want(now)):
            free_at = max(free_at, now) + cpu_s
            answered_at = max(now + cycle_s, free_at)
            heapq.heappush(open_polls, (answered_at, next(order), lane.opens(now)))
        now, _, poll = heapq.heappop(open_polls)
        lane.found(poll, now)
        lane.closes(poll)
        lane.age(now)
        lane.window.ask()
        lane.window.measure(now)
        if lane.window.size != sizes[-1]:
            sizes.append(lane.window.size)
    return sizes


class TestWindow:
    @pytest.mark.parametrize("cycle_s", [0.003, 0.01, 0.1], ids="{} s".format)
    def test_it_grows_while_every_poll_finds_a_task(self, lane, cycle_s):
        """From AWS as from a server beside it: eight polls within a second."""
        sizes = saturated(lane, cycle_s=cycle_s, until_s=1.0)
        assert sizes[-1] >= 8
        assert all(later <= 1.5 * size + 2 for size, later in itertools.pairwise(sizes))

    def test_it_never_grows_beyond_the_most(self, lane):
        assert max(saturated(lane, cycle_s=0.01, until_s=2.0)) == MOST

    def test_it_ends_to_grow_where_more_polls_bring_nothing_more(self, lane):
        """A poller that is busy all the time: 1,000 tasks a second, with one poll or with ten."""
        sizes = saturated(lane, cycle_s=0.003, cpu_s=0.001, until_s=2.0)
        assert 10 <= sizes[-1] <= 40

    def test_it_falls_where_slots_are_what_is_scarce(self, lane):
        """Each poll waits for a slot, 5 a second, and finds its task within 10 ms."""
        lane.window.size = 20
        now = 1000.0
        for _ in range(15):
            poll = lane.opens(now)
            lane.found(poll, now + 0.01)
            lane.closes(poll)
            lane.window.ask()
            lane.window.measure(now + 0.01)
            now += 0.2
        assert lane.window.size == 1

    def test_it_falls_where_no_slot_becomes_free(self, lane):
        saturated(lane, cycle_s=0.01, until_s=0.5)
        now = 1000.6
        while now < 1003:
            lane.window.ask()
            lane.window.measure(now)
            now += 0.5
        assert lane.window.size == 1

    def test_an_idle_poll_sets_it_back(self, lane):
        saturated(lane, cycle_s=0.01, until_s=0.5)
        assert lane.window.size > 4
        now = 1001.0
        lane.opens(now)
        lane.age(now + IDLE_AFTER_S)
        assert lane.window.size == 1

    def test_few_tasks_that_polls_wait_for_are_no_reason_to_grow(self, lane):
        """20 tasks a second, 50 ms apart: one poll is open all the time and finds each at once."""
        now, size = 1000.0, 1
        for n in range(200):
            poll = lane.opens(now)
            now += 0.012 if n % 8 == 0 else 0.05
            lane.found(poll, now)
            lane.closes(poll)
            lane.window.ask()
            lane.window.measure(now)
            size = max(size, lane.window.size)
        assert size <= 2

    def test_how_long_an_idle_poll_waited_counts_for_nothing(self, lane):
        poll = lane.opens(1000.0)
        lane.age(1001.0)
        lane.found(poll, 1030.0)
        lane.closes(poll)
        lane.window.ask()
        lane.window.measure(1030.01)
        assert lane.window.size == 1
        assert saturated(lane, cycle_s=0.05, until_s=1.0, start_s=1030.01)[-1] >= 8

    def test_polls_that_fail_halve_it(self, lane):
        saturated(lane, cycle_s=0.01, until_s=0.5)
        size = lane.window.size
        lane.window.halve()
        assert lane.window.size == size // 2


class TestIdle:
    def test_a_poll_is_fresh_for_half_a_second(self, lane):
        lane.opens(1000.0)
        assert (lane.fresh, lane.idle, lane.idle_at) == (1, 0, 1000.5)
        lane.age(1000.49)
        assert (lane.fresh, lane.idle) == (1, 0)
        lane.age(1000.5)
        assert (lane.fresh, lane.idle, lane.idle_at) == (0, 1, math.inf)

    def test_each_by_its_own_time(self, lane):
        for now in (1000.0, 1000.2, 1000.2, 1000.4):
            lane.opens(now)
        lane.age(1000.7)
        assert (lane.fresh, lane.idle, lane.idle_at) == (1, 3, 1000.9)

    def test_one_that_is_answered_is_fresh_until_its_task_is_stored(self, lane):
        poll = lane.opens(1000.0)
        lane.age(1010.0)
        lane.found(poll, 1010.1)
        assert (lane.fresh, lane.idle, lane.open) == (1, 0, 1)
        lane.age(1020.0)
        assert (lane.fresh, lane.idle) == (1, 0)
        lane.closes(poll)
        assert (lane.fresh, lane.idle, lane.open) == (0, 0, 0)

    def test_one_that_is_overtaken_says_nothing_while_others_find_tasks(self, lane):
        """Its connection may be dead: for a minute nothing else would be polled."""
        lane.window.size = 3
        lane.opens(1000.0)
        now = 1000.0
        while now < 1002:
            poll = lane.opens(now + 0.01)
            now += 0.06
            lane.age(now)
            assert lane.idle == 0
            lane.found(poll, now)
            lane.closes(poll)
        lane.age(now + 0.49)
        assert (lane.fresh, lane.idle) == (1, 0)
        lane.age(now + 0.5)
        assert (lane.fresh, lane.idle) == (0, 1)

    def test_a_poll_that_ends_is_counted_no_more(self, lane):
        fresh, idle = lane.opens(1000.4), None
        lane.closes(fresh)
        idle = lane.opens(1000.5)
        lane.age(1002.0)
        lane.closes(idle)
        assert (lane.fresh, lane.idle, lane.open) == (0, 0, 0)

    def test_one_in_the_place_of_an_idle_one_is_idle(self, lane):
        """Polls that are opened anew each minute take no room, however many they are."""
        poll = lane.opens(1000.0)
        lane.age(1060.0)
        lane.found_none(poll, 1060.0)
        lane.closes(poll)
        lane.opens(1060.2)
        assert (lane.fresh, lane.idle, lane.untold) == (0, 1, True)
        lane.opens(1060.3)
        assert (lane.fresh, lane.idle) == (1, 1)

    @pytest.mark.parametrize(("returned_at", "opened_at"), [(1000.3, 1000.4), (1060.0, 1060.5)])
    def test_one_that_is_not_soon_in_the_place_of_an_idle_one_is_fresh(
        self, lane, returned_at, opened_at
    ):
        poll = lane.opens(1000.0)
        lane.age(returned_at)
        lane.found_none(poll, returned_at)
        lane.closes(poll)
        lane.opens(opened_at)
        assert (lane.fresh, lane.idle) == (1, 0)


class TestWant:
    def test_as_many_as_the_window_has_room_for(self, lane):
        lane.window.size = 3
        lane.opens(1000.0)
        assert lane.want(1000.0) == 2

    def test_none_in_a_pause(self, lane):
        lane.paused_until = 1001.0
        assert lane.want(1000.9) == 0
        assert lane.want(1001.0) == 1

    def test_none_beside_an_idle_one(self, lane):
        lane.window.size = 5
        lane.opens(1000.0)
        lane.age(1001.0)
        assert lane.want(1001.0) == 0
