"""Bad inputs, as users give them: each a clear named error; nothing hangs, nothing is lost.

What is refused at start without a process is in ``tests/unit``, what Step Functions refuses in
``tests/conformance``; here it is what reaches a running deployment, and what its commands say.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.local.valkey import LocalValkey
from tests.acceptance.deployment import Deployment
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

HERE = Path(__file__).parent

RAISED = {
    "a long message": "ValueError",
    "surrogates in its message": "ValueError",
    "a message of bytes": "ValueError",
    "null characters": "ValueError",
    "no words": "Unspeakable",
    "a number for words": "NoString",
    "a lock in it": "Unpicklable",
    "a long name": "V" * 256,
    "an empty error name": "ActivityError",
    "a cause that is no text": "Odd",
    "an error name that is no text": "404",
    "KeyboardInterrupt": "KeyboardInterrupt",
    "GeneratorExit": "GeneratorExit",
    "a group": "ExceptionGroup",
}
RETURNED = {
    "NaN": "Bridge.OutputNotJson",
    "infinity": "Bridge.OutputNotJson",
    "bytes": "Bridge.OutputNotJson",
    "a set": "Bridge.OutputNotJson",
    "a date": "Bridge.OutputNotJson",
    "a decimal": "Bridge.OutputNotJson",
    "a generator": "Bridge.OutputNotJson",
    "a lone surrogate": "Bridge.OutputNotJson",
    "a tuple as key": "Bridge.OutputNotJson",
    "too deep": "Bridge.OutputNotJson",
    "too large": "Bridge.OutputTooLarge",
    "an exception": "Bridge.OutputNotJson",
    "a class": "Bridge.OutputNotJson",
}


def nested(depth: int):
    value: object = "core"
    for _ in range(depth):
        value = [value]
    return value


INPUTS = {
    "a number": 7,
    "a string": "seven",
    "null": None,
    "true": True,
    "an empty list": [],
    "an empty object": {},
    "200 levels": nested(200),
    "null and astral characters": {"\x00": "💥\u2028"},
    "200 KB": {"text": "x" * 200_000},
    "a huge integer": {"n": 10**400},
    "keys that look like calls": {"args": [1], "kwargs": {"a": 1}, "__type": "x", "task": "y"},
}


@pytest.fixture(scope="module")
def running(tmp_path_factory, local_stepfunctions):
    """One deployment that has to survive all of them."""
    deployment = Deployment(
        tmp_path_factory.mktemp("bad"), valkey=LocalValkey().start(),
        stepfunctions_url=local_stepfunctions.url, BRIDGE_TASKS="bad_jobs", PYTHONPATH=str(HERE),
    )  # fmt: skip
    try:
        deployment.create_activities()
        deployment.worker(concurrency=2)
        deployment.beat()
        deployment.poller()
        yield deployment
        assert all(process.alive for process in deployment.processes)
    finally:
        deployment.stop()


def nothing_left(deployment: Deployment) -> bool:
    return deployment.status()["totals"]["in_flight"] == 0


@pytest.mark.parametrize("what", RAISED)
def test_what_a_task_raises(running, what):
    """The state machine gets a name that its Catch can match."""
    status, error, _ = running.outcome("raise", what=what, timeout_s=30)
    assert (status, error) == ("FAILED", RAISED[what])


@pytest.mark.parametrize("what", RETURNED)
def test_what_a_task_returns(running, what):
    status, error, cause = running.outcome("return", what=what, timeout_s=30)
    assert (status, error) == ("FAILED", RETURNED[what])
    assert cause


@pytest.mark.parametrize("what", INPUTS)
def test_what_a_task_is_given(running, what):
    """Any JSON is an input, and comes back as it went."""
    machine = running.one_state("echo")
    started = running.sfn.start_execution(
        stateMachineArn=machine, input=json.dumps(INPUTS[what])
    )  # fmt: skip
    found = running.ended(started["executionArn"], timeout_s=30)
    assert found["status"] == "SUCCEEDED", found
    details = running.history(started["executionArn"])[-1]["executionSucceededEventDetails"]
    assert json.loads(details["output"]) == INPUTS[what]


def test_nothing_is_left_of_them(running):
    wait_until(lambda: nothing_left(running), what=str(running.status()))
    assert running.outcome("echo", ok=True)[0] == "SUCCEEDED"


class TestCommands:
    """Wrong settings and credentials: one sentence, no traceback, no secret, no hang."""

    @pytest.fixture
    def deployment(self, deploy):
        return deploy(JOBS_ONLY="echo")

    @pytest.mark.parametrize(
        ("env", "says"),
        [
            ({"BRIDGE_LEASE": "3"}, "Did you mean BRIDGE_LEASE_S?"),
            ({"BRIDGE_LEASE_S": "-3"}, "BRIDGE_LEASE_S"),
            ({"BRIDGE_TICK_S": "nan"}, "BRIDGE_TICK_S"),
            ({"BRIDGE_ACTIVITIES": '["a"]'}, "BRIDGE_ACTIVITIES"),
            ({"BRIDGE_ACTIVITIES": '{"a": "no.such.task"}'}, "'no.such.task'"),
            ({"BRIDGE_ACTIVITIES": '{"' + "a" * 81 + '": "jobs.echo"}'}, "a" * 81),
            ({"BRIDGE_STORE_URL": "http://user:s3cret@x"}, "no Redis URL"),
            ({"BRIDGE_TASKS": "no_such_module"}, "'no_such_module'"),
            ({"JOBS_PREFIX": "spaced out"}, "'spaced out-echo'"),
            (
                {"JOBS_PREFIX": "arn:aws:states:us-east-1:123456789012:stateMachine:x"},
                "stateMachine",
            ),
        ],
        ids=lambda value: next(iter(value.items())) if isinstance(value, dict) else None,
    )
    @pytest.mark.parametrize("command", ["status", "poll"])
    def test_a_setting(self, deployment, command, env, says):
        done = deployment.run(command, **env)
        assert done.returncode == 2, done.stderr
        assert says in done.stderr
        assert "Traceback" not in done.stderr
        assert "s3cret" not in done.stdout + done.stderr

    @pytest.mark.parametrize(
        ("env", "says"),
        [
            ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "credentials"),
            ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
            ({"AWS_PROFILE": "nobody"}, "nobody"),
            ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "AWS_REGION"),
            ({"AWS_REGION": "not a region"}, "region"),
            ({"AWS_ENDPOINT_URL_SFN": "localhost:4566"}, "localhost:4566"),
            ({"AWS_ENDPOINT_URL_SFN": "http://127.0.0.1:1"}, "127.0.0.1:1"),
        ],
        ids=lambda value: next(iter(value.items())) if isinstance(value, dict) else None,
    )
    @pytest.mark.parametrize("command", ["poll", "activities"])
    def test_aws(self, deployment, command, env, says):
        args = ["activities", "list"] if command == "activities" else [command]
        env = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent", **env}
        done = deployment.run(*args, timeout_s=60, **env)
        assert done.returncode in (1, 2), done.stderr
        assert says in done.stderr
        assert "Traceback" not in done.stderr
        assert "local-secret" not in done.stdout + done.stderr

    def test_a_module_with_a_syntax_error_shows_where(self, deployment):
        (deployment.folder / "broken.py").write_text("def oops(:\n")
        done = deployment.run("poll", BRIDGE_TASKS="broken", PYTHONPATH=str(deployment.folder))
        assert done.returncode != 0
        assert "broken.py" in done.stderr
        assert "SyntaxError" in done.stderr

    def test_a_store_that_does_not_answer(self, deployment):
        env = {"BRIDGE_STORE_URL": "redis://:s3cret@127.0.0.1:1/0"}
        done = deployment.run("status", timeout_s=60, **env)
        assert done.returncode == 1
        assert "redis://:***@127.0.0.1:1/0 does not answer" in done.stderr
        assert "s3cret" not in done.stderr + done.stdout
        assert "Traceback" not in done.stderr
