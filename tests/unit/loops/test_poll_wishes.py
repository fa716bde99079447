"""What a poller asks the store for, and how soon it asks again; time is simulated."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from bridge.loops.open_polls import IDLE_AFTER_S, ActivityPolls
from bridge.loops.poll_window import Window
from bridge.loops.poll_wishes import (
    EMPTIES_APART_S,
    GRANT_INTERVAL_S,
    IDLE_INTERVAL_S,
    IDLE_TOGETHER_S,
    AskAlarm,
    ask_again_s,
    wishes_of,
)
from bridge.store import PollRefusal, Wish

NOW = 1000.0
NONE = [PollRefusal.NONE]


@pytest.fixture
def polls():
    resize = SimpleNamespace(name="resize", queue="images")
    return ActivityPolls(activity=resize, arn="arn", place="eu-west-1/", window=Window(100))


class TestWishes:
    def test_a_wish_counts_open_polls_and_those_that_the_window_has_room_for(self, polls):
        polls.window.size = 3
        polls.add(NOW)
        wish = Wish("resize", "images", fresh=1, want=2, idle=0, place="eu-west-1/")
        assert wishes_of([polls], NOW, draining=False) == [wish]

    def test_a_poller_that_drains_wants_none_and_says_which_are_open(self, polls):
        polls.add(NOW - IDLE_AFTER_S)
        (wish,) = wishes_of([polls], NOW, draining=True)
        assert (wish.fresh, wish.want, wish.idle) == (0, 0, 1)


class TestAskAgain:
    @pytest.mark.parametrize(
        ("refused", "lease_s", "again_s"),
        [
            (PollRefusal.NONE, 60, IDLE_INTERVAL_S),
            (PollRefusal.NONE, 9, 3),
            (PollRefusal.NONE, 1, GRANT_INTERVAL_S),
            (PollRefusal.NO_WORKER, 60, GRANT_INTERVAL_S),
        ],
    )
    def test_it_asks_after_an_interval_if_nothing_changes(self, polls, refused, lease_s, again_s):
        assert ask_again_s([polls], [refused], NOW, lease_s=lease_s) == again_s

    def test_it_asks_when_a_pause_is_over(self, polls):
        polls.paused_until = NOW + 0.7
        assert ask_again_s([polls], NONE, NOW, lease_s=60) == pytest.approx(0.7)

    @pytest.mark.parametrize(
        ("refused", "together_s"),
        [
            (PollRefusal.NONE, EMPTIES_APART_S),
            (PollRefusal.NO_ROOM, IDLE_TOGETHER_S),
            (PollRefusal.SHARE, IDLE_TOGETHER_S),
        ],
    )
    def test_it_asks_when_polls_become_idle_and_sooner_if_room_is_scarce(
        self, polls, refused, together_s
    ):
        polls.add(NOW)
        again_s = ask_again_s([polls], [refused], NOW, lease_s=60)
        assert again_s == pytest.approx(IDLE_AFTER_S + together_s)


class TestAlarm:
    def test_the_earliest_of_several_times_counts(self):
        async def main():
            alarm = AskAlarm()
            for seconds in (5.0, 0.05, 3.0):
                alarm.ring_within(seconds)
            began = time.monotonic()
            await alarm.wait(10.0)
            return time.monotonic() - began

        assert 0.04 < asyncio.run(main()) < 2

    def test_a_ring_is_heard_once(self):
        async def main():
            alarm = AskAlarm()
            alarm.ring()
            await alarm.wait(10.0)
            alarm.reset()
            began = time.monotonic()
            await alarm.wait(0.05)
            return time.monotonic() - began

        assert asyncio.run(main()) > 0.04
