"""An unusual exception, or an output that is refused, ends the execution with an error name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.waiting import wait_until

HERE = Path(__file__).parent

# Keys are the names of cases in bad_jobs.py; values, how the execution ends.
RAISED = {
    "a long message": "ValueError",
    "surrogates in its message": "ValueError",
    "astral characters in its message": "ValueError",
    "a message of bytes": "ValueError",
    "null characters": "ValueError",
    "no words": "Unspeakable",
    "a number for words": "NoString",
    "a lock in it": "Unpicklable",
    "a long name": "V" * 256,
    "an empty error name": "ActivityError",
    "a cause that is no text": "Odd",
    "a cause that is None": "Odd",
    "texts of a kind of their own": "not what it holds",
    "an error name that is no text": "404",
    "a cause within a cause": "ValueError",
    "itself as its cause": "ValueError",
    "an Ignore without words": "Bridge.Ignored",
    "KeyboardInterrupt": "KeyboardInterrupt",
    "GeneratorExit": "GeneratorExit",
    "a group": "ExceptionGroup",
}
"""What a task raises → the error name."""
RETURNED = {
    "NaN": "Bridge.OutputNotJson",
    "infinity": "Bridge.OutputNotJson",
    "bytes": "Bridge.OutputNotJson",
    "a set": "Bridge.OutputNotJson",
    "a date": "Bridge.OutputNotJson",
    "a decimal": "Bridge.OutputNotJson",
    "a generator": "Bridge.OutputNotJson",
    "a lone surrogate": "Bridge.OutputNotJson",
    "a surrogate in a key": "Bridge.OutputNotJson",
    "a tuple as key": "Bridge.OutputNotJson",
    "NaN as key": "Bridge.OutputNotJson",
    "too deep": "Bridge.OutputNotJson",
    "circular": "Bridge.OutputNotJson",
    "a coroutine": "Bridge.OutputNotJson",
    "5,000 digits": "Bridge.OutputNotJson",
    "items that fail": "LookupError",
    "too large": "Bridge.OutputTooLarge",
    "one byte too many": "Bridge.OutputTooLarge",
    "an exception": "Bridge.OutputNotJson",
    "a class": "Bridge.OutputNotJson",
}
"""An output that is refused → the error name."""
TAKEN = {
    "262,144 bytes": "x" * 262_142,
    "262,144 bytes of two-byte characters": "é" * 131_071,
    "null": None,
    "numbers as keys": {"1": "one", "2.5": "more", "null": "none", "false": "no"},
    "a subclass of str": ["what it holds"],
    "an enum": {"colour": "red", "red": 1},
    "a named tuple": [1, 2],
    "an ordered dict": {"b": 1, "a": 2},
    "control characters": "\x00\x1f\x7f\u2028\ufeff💥",
}
"""An output that is accepted → the output that Step Functions gets."""


@pytest.mark.acceptance
class TestResults:
    @pytest.mark.parametrize(
        ("what", "name"),
        [
            *RAISED.items(),
            ("an error name of spaces", "ActivityError"),
            ("a Reject without words", "Bridge.Rejected"),
        ],
        ids=lambda value: value[:40],
    )
    def test_what_a_task_raises_has_a_name(self, running, what, name):
        """The execution fails with an error name that a Catch can match."""
        status, error, cause = running.outcome("raise", what=what)
        assert (status, error) == ("FAILED", name)
        assert len(cause.encode("utf-16-le")) // 2 <= 32_768

    @pytest.mark.parametrize("what", RETURNED)
    def test_an_output_that_is_refused_has_a_name(self, running, what):
        status, error, cause = running.outcome("return", what=what)
        assert (status, error) == ("FAILED", RETURNED[what])
        assert cause

    @pytest.mark.parametrize("what", TAKEN)
    def test_an_unusual_output_is_taken_as_it_is(self, running, what):
        assert running.outcome("return", what=what)[:2] == ("SUCCEEDED", TAKEN[what])

    @pytest.mark.parametrize(
        ("how", "says"), [("NaN", "NaN"), ("words", "'str'"), ("beyond time", "too large")]
    )
    def test_a_retry_at_an_impossible_time_is_a_rejection(self, running, how, says):
        """Celery turns a retry that cannot be published into a Reject."""
        status, error, cause = running.outcome("again", how=how)
        assert (status, error) == ("FAILED", "Bridge.Rejected")
        assert says in cause

    @pytest.mark.parametrize("how", ["in the past", "by hand"])
    def test_an_unusual_retry_runs_again(self, running, how):
        """A Retry raised by hand has published no message; recovery publishes the job again."""
        ended = running.outcome("again", how=how)
        assert ended[:2] == ("SUCCEEDED", "second time")

    def test_afterwards_no_claim_is_left_and_the_fleet_works(self, running):
        wait_until(lambda: running.status()["totals"]["in_flight"] == 0, what=f"{running.status()}")
        assert running.outcome("echo", ok=True)[:2] == ("SUCCEEDED", {"ok": True})


@pytest.mark.acceptance
def test_a_task_that_clears_the_environment_harms_no_other_job(deploy):
    deployment = deploy(BRIDGE_TASKS="bad_jobs", PYTHONPATH=str(HERE))
    deployment.create_activities()
    deployment.worker(concurrency=1)
    deployment.poller()
    assert deployment.outcome("forget")[:2] == ("SUCCEEDED", "who am I?")
    assert deployment.outcome("echo", ok=True)[:2] == ("SUCCEEDED", {"ok": True})
