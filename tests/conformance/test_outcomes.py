"""What SendTaskSuccess, SendTaskFailure and StopExecution do to an execution."""

from __future__ import annotations

import json

import pytest

from tests.conformance.scene import refused

PASS = {"Type": "Pass", "End": True}


class TestSuccess:
    @pytest.mark.parametrize("output", [{"a": [1, 2.5, None]}, [], "text", 0, True, None, "ü€😀"])
    def test_output_is_the_state_output(self, scene, output):
        """Any JSON that the worker sends is the output of its state."""
        execution = scene.start(scene.task())
        scene.succeed(scene.token(), json.dumps(output))
        assert scene.output(execution) == output

    @pytest.mark.parametrize("output", [{"a": 1}, [1], "text", None])
    def test_output_is_in_the_description(self, scene, departure, output):
        """DescribeExecution returns the output as JSON, whatever its type."""
        if output is None or isinstance(output, str):
            departure("moto describes a string without its quotes, and null as no output")
        execution = scene.start(scene.task())
        scene.succeed(scene.token(), json.dumps(output))
        assert json.loads(scene.end(execution)["output"]) == output

    def test_output_is_the_next_state_input(self, scene):
        """The next state gets the output as its input."""
        execution = scene.start(scene.task(Next="S1"), scene.task(), payload={"n": 1})
        scene.succeed(scene.token(), '{"n": 2}')
        assert json.loads(scene.poll()["input"]) == {"n": 2}
        assert scene.status(execution) == "RUNNING"

    def test_history_in_order(self, scene):
        """The history of a success: scheduled, started, succeeded."""
        execution = scene.start(scene.task())
        scene.succeed(scene.token(), '{"ok": true}')
        scene.end(execution)
        assert scene.activity_events(execution) == [
            "ActivityScheduled",
            "ActivityStarted",
            "ActivitySucceeded",
        ]
        succeeded = scene.event(execution, "ActivitySucceeded")["activitySucceededEventDetails"]
        assert json.loads(succeeded["output"]) == {"ok": True}
        moments = [event["timestamp"] for event in scene.history(execution)]
        assert moments == sorted(moments)


class TestFailure:
    def test_uncaught_ends_the_execution_with_error_and_cause(self, scene):
        """An execution fails with the error and the cause of a failure that no Catch matches."""
        execution = scene.start(scene.task())
        scene.fail(scene.token(), error="Resize.Broken", cause='{"why": "ü"}')
        description = scene.end(execution)
        assert description["status"] == "FAILED"
        assert (description["error"], description["cause"]) == ("Resize.Broken", '{"why": "ü"}')

    def test_history_in_order(self, scene):
        """The history of a failure: scheduled, started, failed."""
        execution = scene.start(scene.task())
        scene.fail(scene.token(), error="Broken", cause="why")
        scene.end(execution)
        assert scene.activity_events(execution) == [
            "ActivityScheduled",
            "ActivityStarted",
            "ActivityFailed",
        ]
        failed = scene.event(execution, "ActivityFailed")["activityFailedEventDetails"]
        assert (failed["error"], failed["cause"]) == ("Broken", "why")

    @pytest.mark.parametrize(
        "names", [["Broken"], ["Other", "Broken"], ["States.ALL"], ["States.TaskFailed"]]
    )
    def test_is_caught_by_name(self, scene, names):
        """A Catch matches the error's name; its next state gets error and cause."""
        catch = {"ErrorEquals": names, "ResultPath": "$.failure", "Next": "S1"}
        execution = scene.start(scene.task(Catch=[catch]), PASS, payload={"n": 1})
        scene.fail(scene.token(), error="Broken", cause="why")
        assert scene.output(execution) == {
            "n": 1,
            "failure": {"Error": "Broken", "Cause": "why"},
        }

    @pytest.mark.parametrize("name", ["Other", "Broke", "broken", "States.Timeout"])
    def test_is_not_caught_by_another_name(self, scene, name):
        """A Catch of another error does not match, and the execution fails with this one."""
        catch = {"ErrorEquals": [name], "Next": "S1"}
        execution = scene.start(scene.task(Catch=[catch]), PASS)
        scene.fail(scene.token(), error="Broken")
        assert scene.end(execution)["error"] == "Broken"

    def test_is_retried_by_name_with_a_new_token(self, scene):
        """A Retry of the error's name schedules the task again, with a new token."""
        retry = {"ErrorEquals": ["Broken"], "IntervalSeconds": 1, "MaxAttempts": 1}
        execution = scene.start(scene.task(Retry=[retry]), payload={"n": 1})
        first = scene.token()
        scene.fail(first, error="Broken")
        again = scene.poll()
        assert again["taskToken"] != first
        assert json.loads(again["input"]) == {"n": 1}
        scene.succeed(again["taskToken"], '"second"')
        assert scene.output(execution) == "second"
        assert scene.activity_events(execution) == [
            "ActivityScheduled",
            "ActivityStarted",
            "ActivityFailed",
            "ActivityScheduled",
            "ActivityStarted",
            "ActivitySucceeded",
        ]

    def test_after_the_last_retry_ends_the_execution(self, scene):
        """After MaxAttempts retries the execution fails with the last failure."""
        retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1}
        execution = scene.start(scene.task(Retry=[retry]))
        scene.fail(scene.token(), error="First")
        scene.fail(scene.token(), error="Second")
        assert scene.end(execution)["error"] == "Second"

    def test_with_another_name_is_not_retried(self, scene):
        """A Retry of another error does not match, and the execution fails with this one."""
        retry = {"ErrorEquals": ["Other"], "IntervalSeconds": 1, "MaxAttempts": 1}
        execution = scene.start(scene.task(Retry=[retry]))
        scene.fail(scene.token(), error="Broken")
        assert scene.end(execution)["error"] == "Broken"
        assert scene.activity_events(execution).count("ActivityScheduled") == 1

    @pytest.mark.parametrize("fields", [{}, {"error": "Broken"}, {"cause": "why"}])
    def test_may_leave_out_error_and_cause(self, scene, fields):
        """A failure may have no error or no cause; the execution then fails without it."""
        execution = scene.start(scene.task())
        scene.fail(scene.token(), **fields)
        description = scene.end(execution)
        assert description["status"] == "FAILED"
        assert description.get("error") == fields.get("error")
        assert description.get("cause") == fields.get("cause")

    @pytest.mark.parametrize("fields", [{}, {"error": "Broken"}, {"cause": "why"}])
    def test_without_error_or_cause_is_caught_by_states_all(self, scene, fields):
        """States.ALL catches a failure that has no error name."""
        catch = {"ErrorEquals": ["States.ALL"], "Next": "S1"}
        execution = scene.start(
            scene.task(Catch=[catch]), {"Type": "Pass", "Result": "caught", "End": True}
        )
        scene.fail(scene.token(), **fields)
        assert scene.output(execution) == "caught"


class TestMap:
    def test_schedules_a_task_for_each_item(self, scene):
        """A Map state schedules a task for each item, and has their outputs in order."""
        work = {"StartAt": "Work", "States": {"Work": scene.task()}}
        execution = scene.start(
            {"Type": "Map", "ItemProcessor": work, "End": True}, payload=[1, 2, 3]
        )
        tasks = [scene.poll() for _ in range(3)]
        assert len({task["taskToken"] for task in tasks}) == 3
        for task in reversed(tasks):
            scene.succeed(task["taskToken"], json.dumps(json.loads(task["input"]) * 10))
        assert scene.output(execution) == [10, 20, 30]

    def test_failing_item_fails_the_map(self, scene):
        """A failed item fails its Map state, which closes the tokens of the others."""
        work = {"StartAt": "Work", "States": {"Work": scene.task()}}
        execution = scene.start({"Type": "Map", "ItemProcessor": work, "End": True}, payload=[1, 2])
        first, second = scene.token(), scene.token()
        scene.fail(first, error="Item")
        assert scene.end(execution)["error"] == "Item"
        with refused("TaskTimedOut"):
            scene.heartbeat(second)


class TestParallel:
    def test_joins_the_outputs_of_its_branches(self, scene):
        """A Parallel state has the outputs of its branches, in their order."""
        other = scene.new_activity()
        branches = [
            {"StartAt": "Work", "States": {"Work": scene.task(activity=activity)}}
            for activity in (scene.activity, other)
        ]
        execution = scene.start({"Type": "Parallel", "Branches": branches, "End": True})
        scene.succeed(scene.token(other), '"second"')
        scene.succeed(scene.token(), '"first"')
        assert scene.output(execution) == ["first", "second"]


class TestStopExecution:
    def test_aborts_it(self, scene):
        """StopExecution ends a running execution as ABORTED, without an outcome of its task."""
        execution = scene.start(scene.task())
        scene.poll()
        scene.sfn.stop_execution(executionArn=execution)
        assert scene.end(execution)["status"] == "ABORTED"
        assert scene.history(execution)[-1]["type"] == "ExecutionAborted"
        assert scene.activity_events(execution) == ["ActivityScheduled", "ActivityStarted"]

    def test_aborts_a_map(self, scene):
        """StopExecution ends an execution inside a Map state as ABORTED, like any other."""
        work = {"StartAt": "Work", "States": {"Work": scene.task()}}
        execution = scene.start({"Type": "Map", "ItemProcessor": work, "End": True}, payload=[1, 2])
        scene.poll()
        scene.sfn.stop_execution(executionArn=execution)
        assert scene.end(execution)["status"] == "ABORTED"

    def test_error_and_cause_are_in_the_history(self, scene, departure):
        """The history has the error and the cause that StopExecution was called with."""
        departure("moto drops the reason")
        execution = scene.start(scene.task())
        scene.poll()
        scene.sfn.stop_execution(executionArn=execution, error="Enough", cause="asked to")
        scene.end(execution)
        aborted = scene.event(execution, "ExecutionAborted")["executionAbortedEventDetails"]
        assert (aborted["error"], aborted["cause"]) == ("Enough", "asked to")
