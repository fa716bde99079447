"""TimeoutSeconds and HeartbeatSeconds: when they start, and what extends them."""

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
        "time_outs", [{"TimeoutSeconds": 1}, {"TimeoutSeconds": 2, "HeartbeatSeconds": 1}]
    )
    def test_no_time_out_runs(self, scene, time_outs):
        """An unclaimed task does not time out, however long it waits."""
        execution = scene.start(scene.task(**time_outs))
        scene.event(execution, "ActivityScheduled")
        time.sleep(time_outs["TimeoutSeconds"] + 0.5)
        scene.succeed(scene.token())
        assert scene.output(execution) == {}
        waited = seconds_between(scene, execution, "ActivityScheduled", "ActivityStarted")
        assert waited > time_outs["TimeoutSeconds"]


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
        """However many heartbeats a task sends, it times out after TimeoutSeconds."""
        execution = scene.start(scene.task(TimeoutSeconds=3, HeartbeatSeconds=2))
        token = scene.token()
        deadline = time.monotonic() + 30
        with refused("TaskTimedOut"):
            while time.monotonic() < deadline:
                scene.heartbeat(token)
                time.sleep(0.2)
        took = seconds_between(scene, execution, "ActivityStarted", "ActivityTimedOut")
        assert took >= 2.9
        assert scene.activity_events(execution) == TIMED_OUT


class TestHeartbeatSeconds:
    def test_counts_from_activity_started(self, scene):
        """A task without heartbeats times out HeartbeatSeconds after its ActivityStarted."""
        execution = scene.start(scene.task(TimeoutSeconds=60, HeartbeatSeconds=1))
        scene.event(execution, "ActivityScheduled")
        time.sleep(1.2)
        scene.poll()
        took = seconds_between(scene, execution, "ActivityStarted", "ActivityTimedOut")
        assert 0.9 <= took < 30
        assert scene.activity_events(execution) == TIMED_OUT

    def test_is_renewed_by_each_heartbeat(self, scene):
        """A task whose heartbeats come in time may take longer than HeartbeatSeconds."""
        execution = scene.start(scene.task(TimeoutSeconds=60, HeartbeatSeconds=2))
        token = scene.token()
        began = time.monotonic()
        while time.monotonic() - began < 3:
            scene.heartbeat(token)
            time.sleep(0.3)
        scene.succeed(token, '"alive"')
        assert scene.output(execution) == "alive"

    def test_counts_from_the_last_heartbeat(self, scene):
        """A task whose heartbeats stop times out HeartbeatSeconds after the last one."""
        execution = scene.start(scene.task(TimeoutSeconds=60, HeartbeatSeconds=2))
        token = scene.token()
        time.sleep(1)
        scene.heartbeat(token)
        took = seconds_between(scene, execution, "ActivityStarted", "ActivityTimedOut")
        assert 2.8 <= took < 30


class TestWithoutHeartbeatSeconds:
    def test_heartbeats_are_accepted_and_ignored(self, scene):
        """A state without HeartbeatSeconds accepts heartbeats, and times out as without them."""
        execution = scene.start(scene.task(TimeoutSeconds=2))
        token = scene.token()
        scene.heartbeat(token)
        assert scene.activity_events(execution)[-1] != "ActivityTimedOut"
        scene.event(execution, "ActivityTimedOut")
        with refused("TaskTimedOut"):
            scene.heartbeat(token)

    @pytest.mark.parametrize("time_outs", [{}, {"HeartbeatSeconds": 30}])
    def test_no_timeout_is_added(self, scene, time_outs):
        """A state without TimeoutSeconds gets none, with HeartbeatSeconds or without."""
        execution = scene.start(scene.task(**time_outs))
        scheduled = scene.event(execution, "ActivityScheduled")["activityScheduledEventDetails"]
        assert scheduled.get("timeoutInSeconds", NO_TIMEOUT_S) >= NO_TIMEOUT_S
        assert scheduled.get("heartbeatInSeconds") == time_outs.get("HeartbeatSeconds")

    def test_the_history_has_the_time_outs(self, scene):
        """ActivityScheduled has the state's TimeoutSeconds and HeartbeatSeconds."""
        execution = scene.start(scene.task(TimeoutSeconds=60, HeartbeatSeconds=30))
        scheduled = scene.event(execution, "ActivityScheduled")["activityScheduledEventDetails"]
        assert scheduled["resource"] == scene.activity
        assert (scheduled["timeoutInSeconds"], scheduled["heartbeatInSeconds"]) == (60, 30)

    def test_time_outs_may_come_from_the_input(self, scene):
        """TimeoutSecondsPath and HeartbeatSecondsPath set the time-outs of one execution."""
        execution = scene.start(
            scene.task(TimeoutSecondsPath="$.t", HeartbeatSecondsPath="$.h"),
            payload={"t": 50, "h": 20},
        )
        scheduled = scene.event(execution, "ActivityScheduled")["activityScheduledEventDetails"]
        assert (scheduled["timeoutInSeconds"], scheduled["heartbeatInSeconds"]) == (50, 20)


class TestTimedOutTask:
    @pytest.mark.parametrize(
        "time_outs", [{"TimeoutSeconds": 1}, {"TimeoutSeconds": 60, "HeartbeatSeconds": 1}]
    )
    def test_is_caught_as_states_timeout(self, scene, time_outs):
        """A Catch of States.Timeout catches both time-outs."""
        catch = {"ErrorEquals": ["States.Timeout"], "Next": "S1"}
        execution = scene.start(
            scene.task(**time_outs, Catch=[catch]),
            {"Type": "Pass", "Result": "caught", "End": True},
        )
        scene.poll()
        assert scene.output(execution) == "caught"

    def test_is_retried_with_a_new_token(self, scene):
        """Retry schedules the task again with a new token; the old one stays closed."""
        retry = {"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1, "MaxAttempts": 1}
        # The second attempt has the same 3 s, enough for a call on a slow machine.
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
        """A time-out that no Catch matches ends the execution with States.Timeout."""
        execution = scene.start(scene.task(TimeoutSeconds=1))
        scene.poll()
        description = scene.end(execution)
        assert description["status"] in {"FAILED", "TIMED_OUT"}
        ending = scene.history(execution)[-1]
        assert ending["type"] in {"ExecutionFailed", "ExecutionTimedOut"}
        assert description.get("error") == "States.Timeout"
