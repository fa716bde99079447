"""The one ratio of HeartbeatSeconds to a task's heartbeat interval."""

from __future__ import annotations

from bridge.heartbeat_ratio import (
    INTERVALS_PER_HEARTBEAT_SECONDS,
    RATIO_IN_WORDS,
    heartbeat_seconds,
    is_enough,
    longest_interval_s,
)


def test_the_words_say_the_number():
    assert ("one", "two", "three", "four", "five")[INTERVALS_PER_HEARTBEAT_SECONDS - 1] == (
        RATIO_IN_WORDS
    )


def test_heartbeat_seconds_are_the_least_whole_number_that_is_enough():
    assert heartbeat_seconds(2.5) == 8
    assert is_enough(8, 2.5)
    assert not is_enough(7, 2.5)


def test_the_longest_interval_is_the_one_for_which_heartbeat_seconds_are_just_enough():
    assert longest_interval_s(45) == 15
    assert is_enough(45, longest_interval_s(45))
