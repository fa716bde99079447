"""GetActivityTask: which poll gets which task, when, and with which fields."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from urllib.parse import urlsplit

import pytest

from bridge.local.stepfunctions import activity_tasks
from tests.conformance.scene import refused, unique


class TestEmptyPoll:
    def test_has_no_token(self, scene, short_hold):
        """The answer of a poll without a task has neither token nor input."""
        answer = short_hold.get_activity_task(activityArn=scene.activity)
        assert not answer.get("taskToken")
        assert not answer.get("input")

    def test_is_held_until_its_end(self, scene, short_hold):
        """A poll without a task is answered when its hold ends, not at once."""
        began = time.monotonic()
        short_hold.get_activity_task(activityArn=scene.activity)
        assert time.monotonic() - began >= 0.9

    def test_does_not_take_a_later_task(self, scene, short_hold):
        """A task that is scheduled after an empty poll goes to the next poll."""
        short_hold.get_activity_task(activityArn=scene.activity)
        execution = scene.start(scene.task())
        scene.succeed(scene.token())
        assert scene.output(execution) == {}


class TestOpenPoll:
    def test_is_answered_as_soon_as_a_task_is_scheduled(self, scene):
        """An open poll gets a new task within a second of the execution's start."""
        machine = scene.machine(scene.task())
        with ThreadPoolExecutor(1) as pool:
            poll = pool.submit(lambda: (scene.poll(), time.monotonic()))
            time.sleep(0.3)  # no call shows that the poll is open
            began = time.monotonic()
            scene.execute(machine, {"n": 1})
            task, answered = poll.result(timeout=30)
        assert answered - began < 1
        assert json.loads(task["input"]) == {"n": 1}

    def test_gets_only_tasks_of_its_activity(self, scene):
        """A poll does not get a task of another activity, even if that was scheduled first."""
        other = scene.new_activity()
        scene.start(scene.task(activity=other), payload={"of": "other"})
        scene.start(scene.task(), payload={"of": "mine"})
        assert json.loads(scene.poll()["input"]) == {"of": "mine"}
        assert json.loads(scene.poll(other)["input"]) == {"of": "other"}


class TestWaitingTask:
    def test_is_handed_out_first_in_first_out(self, scene, local_only):
        """Waiting tasks are handed out in the order in which they were scheduled."""
        machine = scene.machine(scene.task())
        for n in range(5):
            scene.event(scene.execute(machine, n), "ActivityScheduled")
        assert [json.loads(scene.poll()["input"]) for _ in range(5)] == [0, 1, 2, 3, 4]

    def test_of_a_stopped_execution_is_never_handed_out(self, scene):
        """StopExecution withdraws an unclaimed task: the poll gets the next one."""
        machine = scene.machine(scene.task())
        stopped = scene.execute(machine, "stopped")
        scene.event(stopped, "ActivityScheduled")
        scene.sfn.stop_execution(executionArn=stopped)
        assert scene.end(stopped)["status"] == "ABORTED"
        scene.execute(machine, "next")
        assert json.loads(scene.poll()["input"]) == "next"
        assert "ActivityStarted" not in scene.activity_events(stopped)


class TestConcurrentPolls:
    TASKS = 50

    @pytest.mark.parametrize("first", ["polls", "tasks"])
    def test_get_each_task_exactly_once(self, scene, first):
        """Of 50 concurrent polls and 50 tasks, each poll gets one task and each task one poll."""
        machine = scene.machine(scene.task())
        with ThreadPoolExecutor(self.TASKS) as pool:
            if first == "polls":
                polls = [pool.submit(scene.poll) for _ in range(self.TASKS)]
                executions = [scene.execute(machine, n) for n in range(self.TASKS)]
            else:
                executions = [scene.execute(machine, n) for n in range(self.TASKS)]
                polls = [pool.submit(scene.poll) for _ in range(self.TASKS)]
            tasks = [poll.result(timeout=60) for poll in polls]
        assert sorted(json.loads(task["input"]) for task in tasks) == list(range(self.TASKS))
        assert len({task["taskToken"] for task in tasks}) == self.TASKS
        for task in tasks:
            scene.succeed(task["taskToken"], task["input"])
        assert [scene.output(execution) for execution in executions] == list(range(self.TASKS))

    def test_over_the_limit_are_refused(self, scene, local_only, monkeypatch):
        """A poll beyond an activity's limit is refused with ActivityWorkerLimitExceeded."""
        monkeypatch.setattr(activity_tasks, "MAX_POLLS_PER_ACTIVITY", 3)
        machine = scene.machine(scene.task())

        def poll() -> str | None:
            return scene.sfn.get_activity_task(activityArn=scene.activity).get("taskToken")

        with ThreadPoolExecutor(4) as pool:
            polls = [pool.submit(poll) for _ in range(4)]
            done, others = wait(polls, return_when=FIRST_COMPLETED)
            for _ in others:
                scene.execute(machine)
            with refused("ActivityWorkerLimitExceeded"):
                done.pop().result()
            assert all(poll.result() for poll in others)


class TestAbandonedPoll:
    def test_loses_the_next_task(self, scene, local_only, calls_of):
        """A poll whose client has disconnected takes the next task, which then times out."""
        url = urlsplit(local_only)
        body = json.dumps({"activityArn": scene.activity, "workerName": "gone"}).encode()
        head = (
            f"POST / HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/x-amz-json-1.0\r\n"
            "X-Amz-Target: AWSStepFunctions.GetActivityTask\r\n\r\n"
        )
        with socket.create_connection((url.hostname, url.port)) as abandoned:
            abandoned.sendall(head.encode() + body)
        retry = {"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1, "MaxAttempts": 1}
        execution = scene.start(scene.task(TimeoutSeconds=3, Retry=[retry]))
        started = scene.event(execution, "ActivityStarted")
        assert started["activityStartedEventDetails"]["workerName"] == "gone"
        scene.succeed(scene.token(), '"late"')
        assert scene.output(execution) == "late"
        assert scene.activity_events(execution) == [
            "ActivityScheduled",
            "ActivityStarted",
            "ActivityTimedOut",
            "ActivityScheduled",
            "ActivityStarted",
            "ActivitySucceeded",
        ]
        assert calls_of(execution) == {"claims": 2, "successes": 1}


class TestUnknownActivity:
    def test_poll_is_refused(self, scene):
        """A poll of an unknown activity is refused with ActivityDoesNotExist."""
        with refused("ActivityDoesNotExist"):
            scene.sfn.get_activity_task(activityArn=scene.activity + "-other")

    def test_poll_of_a_deleted_one_is_refused(self, scene, local_only):
        """A poll of a deleted activity is refused with ActivityDoesNotExist."""
        scene.sfn.delete_activity(activityArn=scene.activity)
        with refused("ActivityDoesNotExist"):
            scene.sfn.get_activity_task(activityArn=scene.activity)

    @pytest.mark.parametrize("arn", ["resize", "arn:aws:states", "arn:aws:sqs:x:y:z"])
    def test_poll_with_a_malformed_arn_is_refused(self, scene, arn):
        """A poll with anything but an activity's ARN is refused with InvalidArn."""
        with refused("InvalidArn"):
            scene.sfn.get_activity_task(activityArn=arn)


class TestAnswer:
    def test_has_only_token_and_input(self, scene):
        """The answer has neither the time-outs nor the execution."""
        scene.start(scene.task(TimeoutSeconds=60, HeartbeatSeconds=30), payload={"a": [1, "ü"]})
        task = scene.poll()
        assert set(task) - {"ResponseMetadata"} == {"taskToken", "input"}
        assert json.loads(task["input"]) == {"a": [1, "ü"]}
        assert 1 <= len(task["taskToken"]) <= 2048

    def test_has_the_execution_only_if_the_state_passes_it(self, scene):
        """$$.Execution.Id reaches the worker only through Parameters."""
        silent = scene.start(scene.task(), payload={"n": 1})
        assert silent not in scene.poll()["input"]
        parameters = {"execution.$": "$$.Execution.Id", "payload.$": "$"}
        telling = scene.start(scene.task(Parameters=parameters), payload={"n": 2})
        assert json.loads(scene.poll()["input"]) == {"execution": telling, "payload": {"n": 2}}


class TestWorkerName:
    def test_is_in_the_history(self, scene):
        """The poll's workerName is in the ActivityStarted event."""
        name = unique("worker")
        execution = scene.start(scene.task())
        scene.poll(worker=name)
        started = scene.event(execution, "ActivityStarted")
        assert started["activityStartedEventDetails"]["workerName"] == name

    def test_may_be_left_out(self, scene):
        """A poll without a workerName gets its task, and the history has no name."""
        execution = scene.start(scene.task())
        scene.poll()
        started = scene.event(execution, "ActivityStarted")
        assert "workerName" not in started.get("activityStartedEventDetails", {})
