"""How long each policy waits, with every draw of the jitter at its bounds."""

from __future__ import annotations

import pytest

from bridge.support.backoff import POLL, PUBLISH, REPORT, STORE_CLAIM, Backoff, RetryPolicy


def shortest(low, high):
    return low


def longest(low, high):
    return high


class TestBackoff:
    @pytest.mark.parametrize(
        ("policy", "ceilings"),
        [
            (POLL, [1, 2, 4, 8, 16, 30, 30]),
            (REPORT, [1, 2, 4, 8, 16, 30, 30]),
            (PUBLISH, [1, 2, 4, 5, 5, 5, 5]),
            (STORE_CLAIM, [1] * 7),
        ],
        ids=["poll", "report", "publish", "store a claim"],
    )
    def test_pauses_double_up_to_the_cap_and_last_half_of_it_at_least(self, policy, ceilings):
        assert [policy.pause_s(n + 1, longest) for n in range(7)] == ceilings
        assert [policy.pause_s(n + 1, shortest) for n in range(7)] == [c / 2 for c in ceilings]

    def test_what_has_waited_waits_as_long_again(self):
        waited_s, pauses = 0.0, []
        for _ in range(7):
            pauses.append(REPORT.pause_after_s(waited_s, longest))
            waited_s += pauses[-1]
        assert pauses == [1, 1, 2, 4, 8, 16, 30]
        assert REPORT.pause_after_s(8.0, shortest) == 4

    @pytest.mark.parametrize(
        "impossible",
        [
            {"base_s": -1, "cap_s": 1},
            {"base_s": 2, "cap_s": 1},
            {"base_s": 1, "cap_s": 1, "at_least": 1.1},
        ],
    )
    def test_impossible_pauses_are_refused(self, impossible):
        with pytest.raises(ValueError, match="impossible"):
            Backoff(**impossible)


class TestRetryPolicy:
    @pytest.mark.parametrize(
        "impossible",
        [
            {"attempts": 0, "base_s": 1, "cap_s": 1, "within_s": 1},
            {"attempts": 1, "base_s": -1, "cap_s": 1, "within_s": 1},
            {"attempts": 1, "base_s": 2, "cap_s": 1, "within_s": 1},
            {"attempts": 1, "base_s": 1, "cap_s": 1, "within_s": 0},
        ],
    )
    def test_impossible_policies_are_refused(self, impossible):
        with pytest.raises(ValueError, match="impossible"):
            RetryPolicy(**impossible)

    def test_pauses_never_overflow(self):
        policy = RetryPolicy(attempts=10**6, base_s=1.0, cap_s=30.0)
        assert policy.pause_s(10**6, longest) == 30.0
