"""TimeoutSeconds and HeartbeatSeconds: when they start, and what moves them."""

from __future__ import annotations

import time

import pytest

from tests.conformance.scene import NO_TIMEOUT_S, refused

TIMED_OUT = ["ActivityScheduled", "ActivityStarted", "ActivityTimedOut"]


def seconds_between(scene, execution: str, first: str, then: str) -> float:
    return (
        scene.event(execution, then)["timestamp"] - scene.event(execution, first)["timestamp"]
    ).total_seconds()


class TestBeforeTheStart:
    @pytest.mark.parametrize(
        "clocks", [{"TimeoutSeconds": 1}, {"TimeoutSeconds": 2, "HeartbeatSeconds": 1}]
    )
    def test_no_clock_runs(self, scene, clocks):
        """A task that nobody has claimed outlives its TimeoutSeconds and HeartbeatSeconds."""
        execution = scene.start(scene.task(**clocks))
        scene.event(execution, "ActivityScheduled")
        time.sleep(clocks["TimeoutSeconds"] + 0.5)
        scene.succeed(scene.token())
        assert scene.output(execution) == {}
        waited = seconds_between(scene, execution, "ActivityScheduled", "ActivityStarted")
        assert waited > clocks["TimeoutSeconds"]


class TestTimeoutSeconds:
    def test_counts_from_activity_started(self, scene):
        """A claimed task times out TimeoutSeconds after its ActivityStarted."""
        execution = scene.start(scene.task(TimeoutSeconds=1))
        scene.event(execution, "ActivityScheduled")
        time.sleep(1.2)
        scene.poll()
        took = seconds_between(scene, execution, "ActivityStarted", "ActivityTimedOut")
        assert took >= 0.9
        assert scene.activity_events(execution) == TIMED_OUT

    def test_is_not_extended_by_heartbeats(self, scene):
        """However often a task beats, it times out after TimeoutSeconds."""
        execution = scene.start(scene.task(TimeoutSeconds=3, HeartbeatSeconds=2))
        token = scene.token()
        give_up = time.monotonic() + 30
        with refused("TaskTimedOut"):
            while time.monotonic() < give_up:
                scene.beat(token)
                time.sleep(0.2)
        took = seconds_between(scene, execution, "ActivityStarted", "ActivityTimedOut")
        assert took >= 2.9
        assert scene.activity_events(execution) == TIMED_OUT


class TestHeartbeatSeconds:
    def test_counts_from_activity_started(self, scene):
        """A claimed task that never beats times out HeartbeatSeconds after its ActivityStarted."""
        execution = scene.start(scene.task(TimeoutSeconds=60, HeartbeatSeconds=1))
        scene.event(execution, "ActivityScheduled")
        time.sleep(1.2)
        scene.poll()
        took = seconds_between(scene, execution, "ActivityStarted", "ActivityTimedOut")
        assert 0.9 <= took < 30
        assert scene.activity_events(execution) == TIMED_OUT

    def test_is_renewed_by_each_heartbeat(self, scene):
        """A task that beats in time lives longer than HeartbeatSeconds."""
        execution = scene.start(scene.task(TimeoutSeconds=60, HeartbeatSeconds=2))
        token = scene.token()
        began = time.monotonic()
        while time.monotonic() - began < 3:
            scene.beat(token)
            time.sleep(0.3)
        scene.succeed(token, '"alive"')
        assert scene.output(execution) == "alive"

    def test_runs_on_after_the_last_heartbeat(self, scene):
        """A task that stops beating times out HeartbeatSeconds after its last heartbeat."""
        execution = scene.start(scene.task(TimeoutSeconds=60, HeartbeatSeconds=2))
        token = scene.token()
        time.sleep(1)
        scene.beat(token)
        took = seconds_between(scene, execution, "ActivityStarted", "ActivityTimedOut")
        assert 2.8 <= took < 30


class TestWithoutHeartbeatSeconds:
    def test_heartbeats_are_accepted_and_ignored(self, scene):
        """A state without HeartbeatSeconds takes heartbeats, and takes none amiss."""
        execution = scene.start(scene.task(TimeoutSeconds=2))
        token = scene.token()
        scene.beat(token)
        assert scene.activity_events(execution)[-1] != "ActivityTimedOut"
        scene.event(execution, "ActivityTimedOut")
        with refused("TaskTimedOut"):
            scene.beat(token)

    @pytest.mark.parametrize("clocks", [{}, {"HeartbeatSeconds": 30}])
    def test_no_timeout_is_made_up(self, scene, clocks):
        """A state without TimeoutSeconds has none of 60 s, with HeartbeatSeconds or without."""
        execution = scene.start(scene.task(**clocks))
        scheduled = scene.event(execution, "ActivityScheduled")["activityScheduledEventDetails"]
        assert scheduled.get("timeoutInSeconds", NO_TIMEOUT_S) >= NO_TIMEOUT_S
        assert scheduled.get("heartbeatInSeconds") == clocks.get("HeartbeatSeconds")

    def test_the_history_tells_the_clocks(self, scene):
        """ActivityScheduled tells TimeoutSeconds and HeartbeatSeconds of the state."""
        execution = scene.start(scene.task(TimeoutSeconds=60, HeartbeatSeconds=30))
        scheduled = scene.event(execution, "ActivityScheduled")["activityScheduledEventDetails"]
        assert scheduled["resource"] == scene.activity
        assert (scheduled["timeoutInSeconds"], scheduled["heartbeatInSeconds"]) == (60, 30)

    def test_clocks_may_come_from_the_input(self, scene):
        """TimeoutSecondsPath and HeartbeatSecondsPath set the clocks of one execution."""
        execution = scene.start(
            scene.task(TimeoutSecondsPath="$.t", HeartbeatSecondsPath="$.h"),
            payload={"t": 50, "h": 20},
        )
        scheduled = scene.event(execution, "ActivityScheduled")["activityScheduledEventDetails"]
        assert (scheduled["timeoutInSeconds"], scheduled["heartbeatInSeconds"]) == (50, 20)


class TestTimedOutTask:
    @pytest.mark.parametrize(
        "clocks", [{"TimeoutSeconds": 1}, {"TimeoutSeconds": 60, "HeartbeatSeconds": 1}]
    )
    def test_is_caught_as_states_timeout(self, scene, clocks):
        """Catch takes a time-out of either clock by the name of States.Timeout."""
        catch = {"ErrorEquals": ["States.Timeout"], "Next": "S1"}
        execution = scene.start(
            scene.task(**clocks, Catch=[catch]),
            {"Type": "Pass", "Result": "caught", "End": True},
        )
        scene.poll()
        assert scene.output(execution) == "caught"

    def test_is_retried_with_a_new_token(self, scene):
        """Retry schedules the task anew, under another token; the old one stays closed."""
        retry = {"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1, "MaxAttempts": 1}
        # The second attempt has no longer: enough for a call on a slow machine.
        execution = scene.start(scene.task(TimeoutSeconds=3, Retry=[retry]))
        first = scene.token()
        scene.event(execution, "ActivityTimedOut")
        second = scene.token()
        assert second != first
        with refused("TaskTimedOut"):
            scene.succeed(first, '"first"')
        scene.succeed(second, '"second"')
        assert scene.output(execution) == "second"

    def test_uncaught_fails_the_execution(self, scene):
        """A time-out that nobody catches ends the execution with States.Timeout."""
        execution = scene.start(scene.task(TimeoutSeconds=1))
        scene.poll()
        description = scene.end(execution)
        assert description["status"] in {"FAILED", "TIMED_OUT"}
        ending = scene.history(execution)[-1]
        assert ending["type"] in {"ExecutionFailed", "ExecutionTimedOut"}
        assert description.get("error") == "States.Timeout"
