"""Which warnings pass; time is simulated."""

from __future__ import annotations

import logging

import pytest

from bridge.support.log_limiter import LogLimiter

logger = logging.getLogger("bridge.test")


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("bridge.support.log_limiter.time.monotonic", lambda: now[0])
    return now


def test_a_kind_of_error_is_logged_once_in_the_interval(clock, caplog):
    limiter = LogLimiter(logger, every_s=60)
    for seconds in (0, 30, 29.9, 0.2):
        clock[0] += seconds
        limiter.warning(OSError("away"), "the broker is away: %s", "x")
    assert caplog.messages == ["the broker is away: x"] * 2


def test_another_kind_of_error_is_logged_at_once(clock, caplog):
    limiter = LogLimiter(logger)
    for error in (OSError("away"), OSError("refused"), ValueError("away"), OSError("away")):
        limiter.warning(error, "%r", error)
    assert caplog.messages == ["OSError('away')", "OSError('refused')", "ValueError('away')"]


def test_what_does_not_pass_is_counted_until_the_next_that_passes(clock):
    limiter = LogLimiter(logger, every_s=10)
    assert [limiter.passes() for _ in range(4)] == [True, False, False, False]
    assert limiter.left_out == 0
    clock[0] += 100
    assert limiter.passes()
    assert limiter.left_out == 3
    clock[0] += 10
    assert limiter.passes()
    assert limiter.left_out == 0
