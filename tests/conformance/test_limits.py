"""Limits of the fields of the four hot calls; a refused call changes nothing."""

from __future__ import annotations

import json

import pytest

from tests.conformance.scene import refused

MAX_BYTES = 262_144
CALLS = {
    "send_task_heartbeat": {},
    "send_task_success": {"output": "{}"},
    "send_task_failure": {"error": "Broken"},
}


def still_open(scene, execution: str, token: str) -> None:
    """Fail unless the task can still be ended, as if the refused call had not been made."""
    assert scene.status(execution) == "RUNNING"
    scene.succeed(token, '"open"')
    assert scene.output(execution) == "open"


class TestWorkerName:
    @pytest.mark.parametrize("length", [0, 81])
    def test_of_a_wrong_length_is_refused(self, scene, length):
        """A workerName has 1 to 80 characters."""
        with refused("ValidationException"):
            scene.raw.get_activity_task(activityArn=scene.activity, workerName="w" * length)

    def test_of_80_characters_is_accepted(self, scene):
        """The history has all of a workerName of 80 characters."""
        execution = scene.start(scene.task())
        scene.poll(worker="w" * 80)
        started = scene.event(execution, "ActivityStarted")
        assert started["activityStartedEventDetails"]["workerName"] == "w" * 80


class TestActivityArn:
    @pytest.mark.parametrize("length", [0, 257])
    def test_of_a_wrong_length_is_refused(self, scene, length):
        """An ARN has 1 to 256 characters."""
        arn = f"{scene.activity}{'x' * 257}"[:length]
        with refused("ValidationException", "InvalidArn"):
            scene.raw.get_activity_task(activityArn=arn)


class TestToken:
    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("length", [0, 2049])
    def test_of_a_wrong_length_is_refused(self, scene, call, length):
        """A token has 1 to 2,048 characters, whatever the call."""
        with refused("ValidationException"):
            getattr(scene.raw, call)(taskToken="A" * length, **CALLS[call])


class TestError:
    def test_over_256_characters_is_refused(self, scene):
        """An error of 257 characters is refused, and the task stays open."""
        execution = scene.start(scene.task())
        token = scene.token()
        with refused("ValidationException"):
            scene.raw.send_task_failure(taskToken=token, error="e" * 257, cause="why")
        still_open(scene, execution, token)

    @pytest.mark.parametrize("character", ["e", "ü"])
    def test_of_256_characters_is_accepted(self, scene, character):
        """An error of 256 characters arrives whole: characters count, not bytes."""
        execution = scene.start(scene.task())
        scene.fail(scene.token(), error=character * 256)
        assert scene.end(execution)["error"] == character * 256


class TestCause:
    def test_over_32768_characters_is_refused(self, scene):
        """A cause of 32,769 characters is refused, and the task stays open."""
        execution = scene.start(scene.task())
        token = scene.token()
        with refused("ValidationException"):
            scene.raw.send_task_failure(taskToken=token, error="Broken", cause="c" * 32_769)
        still_open(scene, execution, token)

    def test_of_32768_characters_is_accepted(self, scene):
        """A cause of 32,768 characters arrives whole."""
        execution = scene.start(scene.task())
        scene.fail(scene.token(), error="Broken", cause="c" * 32_768)
        assert scene.end(execution)["cause"] == "c" * 32_768


class TestOutput:
    @pytest.mark.parametrize("output", ["", "{", "text", "{'a': 1}", "{} {}", "[1,]"])
    def test_that_is_not_json_is_refused(self, scene, output):
        """An output that is not JSON is refused with InvalidOutput, and the task stays open."""
        execution = scene.start(scene.task())
        token = scene.token()
        with refused("InvalidOutput"):
            scene.raw.send_task_success(taskToken=token, output=output)
        still_open(scene, execution, token)

    @pytest.mark.parametrize("output", ["NaN", '{"a": Infinity}', "-Infinity"])
    def test_with_python_numbers_is_refused(self, scene, output):
        """NaN and Infinity, which Python writes, are not JSON."""
        execution = scene.start(scene.task())
        token = scene.token()
        with refused("InvalidOutput"):
            scene.raw.send_task_success(taskToken=token, output=output)
        still_open(scene, execution, token)

    @pytest.mark.parametrize("character", ["a", "ü"])
    def test_over_262144_bytes_is_refused(self, scene, character):
        """An output of more than 262,144 bytes of UTF-8 is refused, and the task stays open."""
        execution = scene.start(scene.task())
        token = scene.token()
        size = len(character.encode())
        output = f'"{character * ((MAX_BYTES - 2) // size)}" '
        assert len(output.encode()) == MAX_BYTES + 1
        with refused("ValidationException", "InvalidOutput"):
            scene.raw.send_task_success(taskToken=token, output=output)
        still_open(scene, execution, token)

    @pytest.mark.parametrize("character", ["a", "ü"])
    def test_of_262144_bytes_is_accepted(self, scene, character):
        """An output of exactly 262,144 bytes of UTF-8 arrives."""
        text = character * ((MAX_BYTES - 2) // len(character.encode()))
        output = f'"{text}"'
        assert len(output.encode()) == MAX_BYTES
        execution = scene.start(scene.task())
        scene.succeed(scene.token(), output)
        assert scene.output(execution) == text


class TestInput:
    def test_of_262144_bytes_reaches_the_worker(self, scene):
        """An input of exactly 262,144 bytes reaches the worker whole."""
        text = "a" * (MAX_BYTES - 2)
        scene.start(scene.task(), payload=text)
        assert json.loads(scene.poll()["input"]) == text
