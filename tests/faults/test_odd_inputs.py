"""A task gets any JSON input as it was sent; text that is no usable JSON fails with a name."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue

import pytest

from bridge.local.valkey import LocalValkey
from tests.acceptance.deployment import Deployment
from tests.faults.refused_commands import ARN
from tests.waiting import wait_until


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
    "262,144 bytes": "x" * 262_142,
    "a huge integer": {"n": 10**400},
    "keys that look like calls": {"args": [1], "kwargs": {"a": 1}, "__type": "x", "task": "y"},
}


@pytest.mark.acceptance
class TestFromLocalStepFunctions:
    @pytest.mark.parametrize("what", INPUTS)
    def test_any_json_is_an_input(self, running, what):
        """The task returns its input; the output equals what was sent."""
        machine = running.one_state("echo")
        started = running.sfn.start_execution(
            stateMachineArn=machine, input=json.dumps(INPUTS[what], ensure_ascii=False)
        )
        found = running.ended(started["executionArn"])
        assert found["status"] == "SUCCEEDED", found
        details = running.history(started["executionArn"])[-1]["executionSucceededEventDetails"]
        assert json.loads(details["output"]) == INPUTS[what]


class _RawStepFunctions(BaseHTTPRequestHandler):
    """The calls of Step Functions that a poller of full ARNs needs; any text can be an input."""

    protocol_version = "HTTP/1.1"
    tasks: SimpleQueue[tuple[str, str]]
    ended: dict[str, tuple[str, str]]

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match self.headers["X-Amz-Target"].rpartition(".")[2]:
            case "GetActivityTask":
                answer = self.next_task()
            case "SendTaskSuccess":
                self.ended[body["taskToken"]] = ("SUCCEEDED", body["output"])
                answer = {}
            case "SendTaskFailure":
                self.ended[body["taskToken"]] = (body["error"], body["cause"])
                answer = {}
            case _:
                answer = {}
        content = json.dumps(answer).encode()
        with suppress(ConnectionError):  # the poller has ended
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def next_task(self) -> dict[str, str]:
        try:
            token, text = self.tasks.get(timeout=5)
        except Empty:
            return {}
        return {"taskToken": token, "input": text}

    def log_message(self, *_):
        """Log nothing."""


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Run a task with any text as its input; how it ended.

    The text need not be JSON: no interpreter of state machines reads it first.
    """
    handler = type("Handler", (_RawStepFunctions,), {"tasks": SimpleQueue(), "ended": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = tmp_path_factory.mktemp("given")
    (folder / "given.py").write_text(
        "from celery import shared_task\n"
        f"@shared_task(activity={ARN.format('given')!r}, heartbeat=1)\n"
        "def echo(event):\n"
        "    return event\n"
    )
    deployment = Deployment(
        folder,
        valkey=LocalValkey().start(),
        BRIDGE_TASKS="given",
        PYTHONPATH=str(folder),
        stepfunctions_url=f"http://127.0.0.1:{server.server_port}",
    )

    def end_of(text: str) -> tuple[str, str]:
        token = f"token-{len(handler.ended)}-" + "t" * 40
        handler.tasks.put((token, text))
        return wait_until(lambda: handler.ended.get(token), what=f"an end of {text[:40]!r}")

    try:
        deployment.worker("--pool", "solo")
        deployment.poller()
        yield end_of
        wait_until(lambda: deployment.status()["totals"]["in_flight"] == 0)
        assert "t" * 40 not in deployment.output
    finally:
        deployment.stop()
        server.shutdown()
        server.server_close()


@pytest.mark.acceptance
class TestRawText:
    """Texts that the local interpreter of state machines would not pass on."""

    @pytest.mark.parametrize(
        "text",
        [
            "[" * 500 + "]" * 500,
            '{"a":' * 500 + "1" + "}" * 500,
            json.dumps("x" * 262_142),
            '{"a": 1, "a": 2}',
            "  7\n",
            '"\\u0000\\ud83d\\ude00"',
            "-0.0",
            "1e-400",
        ],
        ids=lambda text: text[:20],
    )
    def test_valid_json_reaches_the_task(self, given, text):
        status, output = given(text)
        assert status == "SUCCEEDED", output
        assert json.loads(output) == json.loads(text)

    @pytest.mark.parametrize(
        ("text", "error", "says"),
        [
            # How deep is too deep differs: 1,000 levels in Python 3.11, some 10,000 from 3.12 on.
            ("[" * 100_000 + "]" * 100_000, "Bridge.NotDispatched", "recursion"),
            ("9" * 5_000, "Bridge.NotDispatched", "4300 digits"),
            ("{oops", "Bridge.NotDispatched", "JSONDecodeError"),
            ('"half', "Bridge.NotDispatched", "JSONDecodeError"),
            ("1e400", "Bridge.OutputNotJson", "float"),
            ("NaN", "Bridge.OutputNotJson", "float"),
            (json.dumps("x" * 1_048_574), "Bridge.OutputTooLarge", "1,048,576 bytes"),
            ('"\\udc00"', "Bridge.OutputNotJson", "surrogates"),
        ],
        ids=lambda text: text[:20],
    )
    def test_unusable_text_has_a_name(self, given, text, error, says):
        said, cause = given(text)
        assert said == error
        assert says in cause

    def test_afterwards_the_fleet_works(self, given):
        assert given('{"ok": true}') == ("SUCCEEDED", '{"ok":true}')
