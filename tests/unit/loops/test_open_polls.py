"""Which polls of an activity are fresh or idle; time is simulated."""

from __future__ import annotations

import math

import pytest

from bridge.loops.open_polls import ActivityPolls
from bridge.loops.poll_window import Window


@pytest.fixture
def polls():
    return ActivityPolls(activity=None, arn="arn", place="", window=Window(100))


class TestIdle:
    def test_a_poll_is_fresh_for_half_a_second(self, polls):
        polls.add(1000.0)
        assert (polls.fresh, polls.idle, polls.idle_at) == (1, 0, 1000.5)
        polls.age(1000.49)
        assert (polls.fresh, polls.idle) == (1, 0)
        polls.age(1000.5)
        assert (polls.fresh, polls.idle, polls.idle_at) == (0, 1, math.inf)

    def test_each_poll_becomes_idle_at_its_own_time(self, polls):
        for now in (1000.0, 1000.2, 1000.2, 1000.4):
            polls.add(now)
        polls.age(1000.7)
        assert (polls.fresh, polls.idle, polls.idle_at) == (1, 3, 1000.9)

    def test_one_that_is_answered_is_fresh_until_its_task_is_stored(self, polls):
        poll = polls.add(1000.0)
        polls.age(1010.0)
        polls.note_task(poll, 1010.1)
        assert (polls.fresh, polls.idle, polls.open) == (1, 0, 1)
        polls.age(1020.0)
        assert (polls.fresh, polls.idle) == (1, 0)
        polls.remove(poll)
        assert (polls.fresh, polls.idle, polls.open) == (0, 0, 0)

    def test_one_that_is_overtaken_says_nothing_while_others_find_tasks(self, polls):
        """Its connection may be dead: for a minute nothing else would be polled."""
        polls.window.size = 3
        polls.add(1000.0)
        now = 1000.0
        while now < 1002:
            poll = polls.add(now + 0.01)
            now += 0.06
            polls.age(now)
            assert polls.idle == 0
            polls.note_task(poll, now)
            polls.remove(poll)
        polls.age(now + 0.49)
        assert (polls.fresh, polls.idle) == (1, 0)
        polls.age(now + 0.5)
        assert (polls.fresh, polls.idle) == (0, 1)

    def test_a_poll_that_ends_is_counted_no_more(self, polls):
        fresh, idle = polls.add(1000.4), None
        polls.remove(fresh)
        idle = polls.add(1000.5)
        polls.age(1002.0)
        polls.remove(idle)
        assert (polls.fresh, polls.idle, polls.open) == (0, 0, 0)

    def test_one_in_the_place_of_an_idle_one_is_idle(self, polls):
        """Polls that are opened anew each minute take no room, however many they are."""
        poll = polls.add(1000.0)
        polls.age(1060.0)
        polls.note_empty(poll, 1060.0)
        polls.remove(poll)
        polls.add(1060.2)
        assert (polls.fresh, polls.idle, polls.store_counts_idle_as_fresh) == (0, 1, True)
        polls.add(1060.3)
        assert (polls.fresh, polls.idle) == (1, 1)

    @pytest.mark.parametrize(("returned_at", "opened_at"), [(1000.3, 1000.4), (1060.0, 1060.5)])
    def test_one_that_is_not_soon_in_the_place_of_an_idle_one_is_fresh(
        self, polls, returned_at, opened_at
    ):
        poll = polls.add(1000.0)
        polls.age(returned_at)
        polls.note_empty(poll, returned_at)
        polls.remove(poll)
        polls.add(opened_at)
        assert (polls.fresh, polls.idle) == (1, 0)


class TestWant:
    def test_it_wants_as_many_as_the_window_has_room_for(self, polls):
        polls.window.size = 3
        polls.add(1000.0)
        assert polls.want(1000.0) == 2

    def test_it_wants_none_in_a_pause(self, polls):
        polls.paused_until = 1001.0
        assert polls.want(1000.9) == 0
        assert polls.want(1001.0) == 1

    def test_it_wants_none_beside_an_idle_one(self, polls):
        polls.window.size = 5
        polls.add(1000.0)
        polls.age(1001.0)
        assert polls.want(1001.0) == 0
