"""Task tokens: what closes one, and how later calls with it are answered."""

from __future__ import annotations

import json

import pytest

from tests.conformance.scene import refused

CALLS = {
    "heartbeat": lambda scene, token: scene.heartbeat(token),
    "success": lambda scene, token: scene.succeed(token),
    "failure": lambda scene, token: scene.fail(token, error="Late", cause="too late"),
}


@pytest.fixture(params=CALLS)
def call(request):
    """Each of the three calls that take a token."""
    return CALLS[request.param]


class TestClosedToken:
    """Each call with a closed token is refused with TaskTimedOut, whatever closed it."""

    def test_after_success(self, scene, call):
        """A token is closed once its task has succeeded; even a second success is refused."""
        execution = scene.start(scene.task())
        token = scene.token()
        scene.succeed(token, '"first"')
        with refused("TaskTimedOut"):
            call(scene, token)
        assert scene.output(execution) == "first"

    def test_after_failure(self, scene, call):
        """A token is closed once its task has failed."""
        execution = scene.start(scene.task())
        token = scene.token()
        scene.fail(token, error="First", cause="the first outcome counts")
        with refused("TaskTimedOut"):
            call(scene, token)
        assert scene.end(execution)["error"] == "First"

    def test_after_timeout(self, scene, call):
        """A token is closed once TimeoutSeconds have passed."""
        execution = scene.start(scene.task(TimeoutSeconds=1))
        token = scene.token()
        scene.event(execution, "ActivityTimedOut")
        with refused("TaskTimedOut"):
            call(scene, token)

    def test_after_heartbeat_timeout(self, scene, call):
        """A token is closed once HeartbeatSeconds have passed without a heartbeat."""
        execution = scene.start(scene.task(TimeoutSeconds=60, HeartbeatSeconds=1))
        token = scene.token()
        scene.event(execution, "ActivityTimedOut")
        with refused("TaskTimedOut"):
            call(scene, token)

    def test_after_stop_execution(self, scene, call):
        """A token is closed once its execution has been stopped."""
        execution = scene.start(scene.task())
        token = scene.token()
        scene.sfn.stop_execution(executionArn=execution)
        assert scene.end(execution)["status"] == "ABORTED"
        with refused("TaskTimedOut"):
            call(scene, token)

    def test_after_stop_execution_inside_a_map(self, scene, call):
        """A token of a Map's iteration is closed once the execution has been stopped."""
        work = {"StartAt": "Work", "States": {"Work": scene.task()}}
        execution = scene.start({"Type": "Map", "ItemProcessor": work, "End": True}, payload=[1, 2])
        tokens = [scene.token(), scene.token()]
        scene.sfn.stop_execution(executionArn=execution)
        scene.end(execution)
        for token in tokens:
            with refused("TaskTimedOut"):
                call(scene, token)

    def test_after_the_execution_timed_out(self, scene, call):
        """A token is closed once TimeoutSeconds of the whole state machine have passed."""
        execution = scene.start(scene.task(), TimeoutSeconds=2)
        token = scene.token()
        assert scene.end(execution)["status"] == "TIMED_OUT"
        with refused("TaskTimedOut"):
            call(scene, token)

    def test_after_a_sibling_failed(self, scene, call):
        """A token is closed once another branch of its Parallel state has failed."""
        other = scene.new_activity()
        branches = [
            {"StartAt": "Work", "States": {"Work": scene.task(activity=activity)}}
            for activity in (scene.activity, other)
        ]
        execution = scene.start({"Type": "Parallel", "Branches": branches, "End": True})
        token = scene.token()
        scene.fail(scene.token(other), error="Sibling", cause="fails both")
        assert scene.end(execution)["error"] == "Sibling"
        with refused("TaskTimedOut"):
            call(scene, token)


class TestUnclaimedTask:
    def test_is_withdrawn_when_the_execution_times_out(self, scene):
        """The state machine's own TimeoutSeconds limits the wait for a worker."""
        machine = scene.machine(scene.task(), TimeoutSeconds=1)
        unclaimed = scene.execute(machine, "unclaimed")
        assert scene.end(unclaimed)["status"] == "TIMED_OUT"
        scene.start(scene.task(), payload="next")
        assert json.loads(scene.poll()["input"]) == "next"

    def test_is_withdrawn_when_a_sibling_fails(self, scene):
        """A failing branch withdraws the unclaimed task of another."""
        other = scene.new_activity()
        branches = [
            {"StartAt": "Work", "States": {"Work": scene.task(activity=activity)}}
            for activity in (scene.activity, other)
        ]
        execution = scene.start(
            {"Type": "Parallel", "Branches": branches, "End": True}, payload="unclaimed"
        )
        scene.fail(scene.token(other), error="Sibling")
        assert scene.end(execution)["status"] == "FAILED"
        scene.start(scene.task(), payload="next")
        assert json.loads(scene.poll()["input"]) == "next"


class TestStrangeToken:
    def test_malformed_is_refused(self, scene, call):
        """A malformed token is refused with InvalidToken."""
        with refused("InvalidToken"):
            call(scene, "not a token!")

    def test_unknown_is_refused(self, scene, call):
        """A token that was never handed out is refused with an error that is not retried."""
        with refused("InvalidToken", "TaskDoesNotExist", "TaskTimedOut"):
            call(scene, "A" * 400)


class TestOpenToken:
    def test_belongs_to_one_task(self, scene):
        """Two tasks of one activity have different tokens; each ends its own execution."""
        machine = scene.machine(scene.task())
        executions = {n: scene.execute(machine, n) for n in range(2)}
        tasks = {
            json.loads(task["input"]): task["taskToken"] for task in (scene.poll(), scene.poll())
        }
        scene.succeed(tasks[0], '"zero"')
        assert scene.output(executions[0]) == "zero"
        assert scene.status(executions[1]) == "RUNNING"
        scene.succeed(tasks[1], '"one"')
        assert scene.output(executions[1]) == "one"

    def test_is_counted_once(self, scene, calls_of):
        """The local server counts claims, heartbeats, outcomes and late calls by execution."""
        execution = scene.start(scene.task())
        token = scene.token()
        scene.heartbeat(token)
        scene.succeed(token)
        with refused("TaskTimedOut"):
            scene.succeed(token)
        assert calls_of(execution) == {"claims": 1, "heartbeats": 1, "successes": 1, "late": 1}
