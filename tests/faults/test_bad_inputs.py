"""Bad inputs, as users give them: each a clear named error; nothing hangs, nothing is lost.

The table of all kinds: settings, names and options, what a task is given, returns and raises,
credentials. Commands are real processes; where one of them shows that a path ends in one sentence,
more cases of that path call what the command calls.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest
from celery import Celery

import bridge
from bridge import registry, settings
from bridge.app_state import installed
from bridge.errors import SettingsError
from bridge.local.valkey import LocalValkey
from tests.acceptance.deployment import Deployment
from tests.waiting import wait_until

HERE = Path(__file__).parent
SECRET = "s3cret"
ARN = "arn:aws:states:us-east-1:123456789012:activity:{}"


def label(value: object) -> str | None:
    """Of an environment: what it sets."""
    if isinstance(value, dict):
        return ",".join(f"{name}={text}" for name, text in value.items())[:60]
    return ""


def one_sentence(done, *, says: str, status: tuple[int, ...] = (2,)) -> None:
    """What a refused command shows: the sentence, no traceback, no secret."""
    shown = done.stdout + done.stderr
    assert done.returncode in status, shown
    assert says in done.stderr, shown
    assert "Traceback" not in shown
    assert SECRET not in shown
    assert "local-secret" not in shown


@pytest.fixture(scope="module")
def deployment(tmp_path_factory, local_stepfunctions):
    """Nothing runs: for commands that are refused."""
    deployment = Deployment(
        tmp_path_factory.mktemp("commands"),
        valkey=LocalValkey().start(),
        stepfunctions_url=local_stepfunctions.url,
        JOBS_ONLY="echo",
    )
    yield deployment
    deployment.stop()


# A. Settings


@pytest.fixture
def bare(monkeypatch):
    """An environment without settings of ours."""
    for name in os.environ:
        if name.startswith("BRIDGE_"):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"BRIDGE_LEASES": "3"}, "Did you mean BRIDGE_LEASE_S?"),
        ({"BRIDGE_HEARTBEAT": "20"}, "Did you mean BRIDGE_HEARTBEAT_S?"),
        ({"BRIDGE_TASK": "jobs"}, "Did you mean BRIDGE_TASKS?"),
        ({"BRIDGE_LEASE_S": "1e400"}, "BRIDGE_LEASE_S"),
        ({"BRIDGE_LEASE_S": "1_5_"}, "BRIDGE_LEASE_S"),
        ({"BRIDGE_LEASE_S": "١٥ s"}, "BRIDGE_LEASE_S"),
        ({"BRIDGE_TICK_S": "0"}, "BRIDGE_TICK_S"),
        ({"BRIDGE_TICK_S": "-0.5"}, "BRIDGE_TICK_S"),
        ({"BRIDGE_TICK_S": "1e-400"}, "BRIDGE_TICK_S"),
        ({"BRIDGE_LEASE_S": "1", "BRIDGE_TICK_S": "0.6"}, "below twice BRIDGE_TICK_S=0.6"),
        ({"BRIDGE_HEARTBEAT_S": "9", "BRIDGE_TICK_S": "10"}, "BRIDGE_HEARTBEAT_S=9 is below"),
        ({"BRIDGE_HEARTBEAT_S": "1e400"}, "BRIDGE_HEARTBEAT_S"),
        ({"BRIDGE_MAX_ATTEMPTS": "9" * 5000}, "BRIDGE_MAX_ATTEMPTS"),
        ({"BRIDGE_LOOK_AHEAD": "nan"}, "BRIDGE_LOOK_AHEAD"),
        ({"BRIDGE_ACTIVITIES": "null"}, "BRIDGE_ACTIVITIES"),
        ({"BRIDGE_ACTIVITIES": '{"a": null}'}, "BRIDGE_ACTIVITIES"),
        ({"BRIDGE_ACTIVITIES": '{"": "jobs.echo"}'}, "is empty"),
        ({"BRIDGE_ACTIVITIES": "[" * 5000}, "JSON"),
        ({"BRIDGE_STORE_URL": f"HTTP://:{SECRET}"}, "no Redis URL"),
        ({"BRIDGE_STORE_URL": "amqp://x"}, "no Redis URL"),
        ({"BRIDGE_STORE_URL": "sentinel://x"}, "?master_name="),
        ({"BRIDGE_STORE_URL": " redis://x"}, "no Redis URL"),
        ({"BRIDGE_LEASE_S": "-3"}, "BRIDGE_LEASE_S"),
        ({"BRIDGE_STORE_PREFIX": "a b"}, "BRIDGE_STORE_PREFIX"),
        ({"BRIDGE_STORE_PREFIX": "a:b"}, "BRIDGE_STORE_PREFIX"),
        ({"BRIDGE_STORE_PREFIX": "ä"}, "BRIDGE_STORE_PREFIX"),
    ],
    ids=label,
)
def test_a_setting(bare, env, says):
    for name, value in env.items():
        bare.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.acceptance
class TestSettings:
    """At the command line: exit status 2, one sentence, no traceback, no password."""

    @pytest.mark.parametrize(
        ("env", "says"),
        [
            ({"BRIDGE_LEASE": "3"}, "Did you mean BRIDGE_LEASE_S?"),
            ({"BRIDGE_TICK_S": "nan"}, "BRIDGE_TICK_S"),
            ({"BRIDGE_ACTIVITIES": '["a"]'}, "BRIDGE_ACTIVITIES"),
            ({"BRIDGE_ACTIVITIES": "{oops"}, "BRIDGE_ACTIVITIES"),
            ({"BRIDGE_ACTIVITIES": '{"a": "no.such.task"}'}, "'no.such.task'"),
            ({"BRIDGE_ACTIVITIES": '{"' + "a" * 81 + '": "jobs.echo"}'}, "a" * 81),
            ({"BRIDGE_STORE_URL": f"http://user:{SECRET}@x"}, "no Redis URL"),
            ({"CELERY_BROKER_URL": f"amqp://user:{SECRET}@x//"}, "Set BRIDGE_STORE_URL"),
            ({"BRIDGE_STORE_URL": f"redis://:{SECRET}@127.0.0.1:port/0"}, "BRIDGE_STORE_URL"),
            ({"BRIDGE_STORE_URL": f"redis://:{SECRET}/x@127.0.0.1:1/0"}, "BRIDGE_STORE_URL"),
            ({"BRIDGE_TASKS": ""}, "BRIDGE_TASKS"),
            ({"BRIDGE_TASKS": "no_such_module"}, "'no_such_module'"),
            ({"JOBS_PREFIX": "spaced out"}, "'spaced out-echo'"),
            ({"JOBS_PREFIX": ARN.format("x").replace("activity", "stateMachine")}, "stateMachine"),
        ],
        ids=label,
    )
    def test_status(self, deployment, env, says):
        one_sentence(deployment.run("status", **env), says=says)

    @pytest.mark.parametrize("command", ["poll", "settings", "worker"])
    def test_every_command_refuses_alike(self, deployment, command):
        done = deployment.run(command, BRIDGE_LEASE="3")
        one_sentence(done, says="Did you mean BRIDGE_LEASE_S?")

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("def oops(:\n", "SyntaxError"),
            ("raise RuntimeError('no tasks today')\n", "RuntimeError: no tasks today"),
            ("import no_such_library\n", "'no_such_library'"),
        ],
        ids=["a syntax error", "an exception", "a missing library"],
    )
    def test_a_module_that_cannot_be_imported_shows_its_own_line(self, deployment, text, says):
        (deployment.folder / "broken.py").write_text(text)
        done = deployment.run("poll", BRIDGE_TASKS="broken")
        assert done.returncode != 0
        assert str(deployment.folder / "broken.py") in done.stderr
        assert says in done.stderr
        assert "local-secret" not in done.stderr

    def test_a_store_that_does_not_answer(self, deployment):
        done = deployment.run("status", BRIDGE_STORE_URL=f"redis://:{SECRET}@127.0.0.1:1/0")
        one_sentence(done, says="redis://:***@127.0.0.1:1/0 does not answer", status=(1,))

    @pytest.mark.parametrize(
        "url",
        [
            f"redis://user:{SECRET}@127.0.0.1:1/0",
            f"redis://:a@{SECRET}@127.0.0.1:1/0",
            f"redis://127.0.0.1:1/0?password={SECRET}",
        ],
    )
    def test_a_password_is_never_shown(self, deployment, url):
        """redis-py takes each of these URLs, and kombu all but the last."""
        done = deployment.run("settings", "--json", CELERY_BROKER_URL=url)
        assert done.returncode == (2 if "?" in url else 0)
        assert SECRET not in done.stdout + done.stderr


# B. Names, ARNs, options


@pytest.mark.filterwarnings(r"ignore:\s*The 'queue' task attribute")
class TestTasks:
    """Written as users write them; what every command calls refuses them."""

    @pytest.fixture
    def refused(self, bare):
        bare.setattr("celery._state._on_app_finalizers", set())
        bare.setattr(registry, "_bindings", {})
        app = Celery("bad", set_as_current=False, broker="redis://127.0.0.1:1/0")
        bridge.install(app)

        def check(source: str) -> str:
            def load() -> None:
                exec(source, {"task": app.task, "bridge": bridge})
                installed(app).load_tasks()

            with pytest.raises(SettingsError) as caught:
                load()
            said = caught.value.format_message()
            assert "\n" not in said
            said.encode()  # it can be printed
            return said

        yield check
        app.close()

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("", "is empty"),
            ("a" * 81, "has 81 characters"),
            ("resize image", "' ' at position 7"),
            ("resize[0]", "'[' at position 7"),
            ("re\x07size", r"'\x07' at position 3"),
            ("re\u200bsize", r"'\u200b' at position 3"),
            ("\ufeffresize", r"'\ufeff' at position 1"),
            ("resize\u202e", r"'\u202e' at position 7"),
            ("resize\n", r"'\n' at position 7"),
            ("../resize", "'.' at position 1"),
            ("resize-", "hyphen"),
            (
                "arn:aws:lambda:us-east-1:123456789012:function:resize",
                "is not a valid activity ARN",
            ),
            ("arn:aws:s3:::bucket", "is not a valid activity ARN"),
            (ARN.format("x").replace("activity", "stateMachine"), "is not a valid activity ARN"),
            (ARN.format("x").replace("activity", "execution"), "is not a valid activity ARN"),
            (ARN.format("x").replace("123456789012", "1234"), "is not a valid activity ARN"),
            (ARN.format("x").replace("us-east-1", ""), "is not a valid activity ARN"),
            (ARN.format("a" * 81), "is not a valid activity ARN"),
            (ARN.format("a b"), "is not a valid activity ARN"),
            (ARN.format("a*"), "is not a valid activity ARN"),
            (True, "is of type bool, not a name"),
            (("resize", "shrink"), "is of type tuple, not a name"),
        ],
        ids=lambda value: ascii(value)[:40],
    )
    def test_a_name(self, refused, name, says):
        assert says in refused(f"@task(activity={name!r})\ndef work(event): ...")

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ("heartbeat='auto'", "heartbeat='auto' is neither"),
            ("heartbeat=True", "heartbeat=True is neither"),
            ("heartbeat=-1", "heartbeat=-1 is neither"),
            ("heartbeat=[20]", "heartbeat=[20] is neither"),
            ("heartbeat=float('nan')", "heartbeat=nan"),
            ("heartbeat=1e400", "heartbeat=inf"),
            ("heartbeat=0.1", "below BRIDGE_TICK_S=1"),
            ("max_attempts=0", "max_attempts=0 is not a whole number"),
            ("max_attempts='3'", "max_attempts='3' is not a whole number"),
            ("max_attempts=True", "max_attempts=True is not a whole number"),
            ("max_attempts=2.5", "max_attempts=2.5 is not a whole number"),
            ("on_lost='ignore'", "on_lost='ignore' is neither"),
            ("on_lost=True", "on_lost=True is neither"),
            ("on_lost='Retry'", "on_lost='Retry' is neither"),
            ("queue='bridge.system'", "which belongs to the bridge"),
        ],
    )
    def test_an_option(self, refused, options, says):
        assert says in refused(f"@task(activity='resize', {options})\ndef work(event): ...")

    @pytest.mark.parametrize(
        ("source", "says"),
        [
            ("@task(activity='a')\ndef work(one, two): ...", "cannot be called with one argument"),
            ("@task(activity='a')\ndef work(): ...", "cannot be called with one argument"),
            ("@task(activity='a')\ndef work(*, event): ...", "cannot be called with one argument"),
            ("@task(activity='a', bind=True)\ndef work(self): ...", "cannot be called with one"),
            (
                "@task(activity='a')\ndef one(event): ...\n"
                "@task(activity='a')\ndef two(event): ...",
                "'a' has two tasks",
            ),
            ("bridge.bind('a', 'nowhere')", "'nowhere', which is not registered"),
            ("bridge.bind('a', 'x')\nbridge.bind('a', 'y')", "bound twice"),
            ("bridge.bind('a', 'x', heartbeats=5)", "no such option heartbeats"),
            ("@task\ndef work(event): ...", "there is nothing to claim"),
        ],
        ids=[
            "two arguments",
            "no argument",
            "a keyword",
            "only itself",
            "two tasks",
            "bound to none",
            "bound twice",
            "an unknown option",
            "no activity",
        ],
    )
    def test_a_task(self, refused, source, says):
        assert says in refused(source)


@pytest.mark.acceptance
class TestArns:
    def test_of_a_region_where_it_does_not_exist(self, running):
        """An ARN is polled where it says; who is missing there is named at each poll."""
        arn = ARN.format("resize").replace("us-east-1", "eu-west-1")
        self.write(running, arn)
        poller = running.poller(BRIDGE_TASKS="arns")
        poller.says(f"ActivityDoesNotExist (HTTP 400): Activity Does Not Exist: '{arn}'")
        poller.signal(signal.SIGTERM)
        assert poller.wait() == 0
        running.processes.remove(poller)

    def test_a_name_and_its_arn(self, running):
        """One activity, registered twice."""
        self.write(running, f"{running.prefix}-echo", running.arn("echo"))
        done = running.run("poll", BRIDGE_TASKS="arns")
        one_sentence(done, says="are the same activity")

    @staticmethod
    def write(deployment, *names: str) -> None:
        tasks = [
            f"@shared_task(activity={name!r})\ndef work{n}(event): ...\n"
            for n, name in enumerate(names)
        ]
        text = "from celery import shared_task\n" + "".join(tasks)
        (deployment.folder / "arns.py").write_text(text)


# C. What a task is given, returns and raises

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
    "an ignoring without words": "Bridge.Ignored",
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
TAKEN = {
    "262,144 bytes": "x" * 262_142,
    "262,144 bytes of two-byte characters": "é" * 131_071,
    "null": None,
    "numbers as keys": {"1": "one", "2.5": "more", "null": "none", "false": "no"},
    "a string of its own kind": ["what it holds"],
    "an enum": {"colour": "red", "red": 1},
    "a named tuple": [1, 2],
    "an ordered dict": {"b": 1, "a": 2},
    "control characters": "\x00\x1f\x7f\u2028\ufeff💥",
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
    "262,144 bytes": "x" * 262_142,
    "a huge integer": {"n": 10**400},
    "keys that look like calls": {"args": [1], "kwargs": {"a": 1}, "__type": "x", "task": "y"},
}


@pytest.fixture(scope="module")
def running(tmp_path_factory, local_stepfunctions):
    """One deployment that has to survive all of them."""
    folder = tmp_path_factory.mktemp("bad")
    deployment = Deployment(
        folder,
        valkey=LocalValkey().start(),
        stepfunctions_url=local_stepfunctions.url,
        BRIDGE_TASKS="bad_jobs",
        PYTHONPATH=f"{HERE}{os.pathsep}{folder}",
    )
    try:
        deployment.create_activities()
        deployment.worker(concurrency=2)
        deployment.beat()
        deployment.poller()
        yield deployment
        assert [process.name for process in deployment.processes if not process.alive] == []
    finally:
        deployment.stop()


@pytest.mark.acceptance
class TestJobs:
    @pytest.mark.parametrize(
        ("what", "name"),
        [
            *RAISED.items(),
            ("an error name of spaces", "ActivityError"),
            ("a rejection without words", "Bridge.Rejected"),
        ],
        ids=lambda value: value[:40],
    )
    def test_what_a_task_raises(self, running, what, name):
        """The state machine gets a name that its Catch can match."""
        status, error, cause = running.outcome("raise", what=what)
        assert (status, error) == ("FAILED", name)
        assert len(cause.encode("utf-16-le")) // 2 <= 32_768

    @pytest.mark.parametrize("what", RETURNED)
    def test_what_a_task_returns(self, running, what):
        status, error, cause = running.outcome("return", what=what)
        assert (status, error) == ("FAILED", RETURNED[what])
        assert cause

    @pytest.mark.parametrize("what", TAKEN)
    def test_what_is_taken_as_it_is(self, running, what):
        assert running.outcome("return", what=what)[:2] == ("SUCCEEDED", TAKEN[what])

    @pytest.mark.parametrize(
        ("how", "says"), [("NaN", "NaN"), ("words", "'str'"), ("beyond time", "too large")]
    )
    def test_a_retry_at_no_time(self, running, how, says):
        """Celery turns a retry that cannot be published into a Reject."""
        status, error, cause = running.outcome("again", how=how)
        assert (status, error) == ("FAILED", "Bridge.Rejected")
        assert says in cause

    @pytest.mark.parametrize("how", ["in the past", "by hand"])
    def test_a_retry_that_comes_all_the_same(self, running, how):
        """By hand: nobody has published it, so recovery does."""
        ended = running.outcome("again", how=how)
        assert ended[:2] == ("SUCCEEDED", "second time")

    @pytest.mark.parametrize("what", INPUTS)
    def test_what_a_task_is_given(self, running, what):
        """Any JSON is an input, and comes back as it went."""
        machine = running.one_state("echo")
        started = running.sfn.start_execution(
            stateMachineArn=machine, input=json.dumps(INPUTS[what], ensure_ascii=False)
        )
        found = running.ended(started["executionArn"])
        assert found["status"] == "SUCCEEDED", found
        details = running.history(started["executionArn"])[-1]["executionSucceededEventDetails"]
        assert json.loads(details["output"]) == INPUTS[what]

    def test_nothing_is_left_of_them(self, running):
        wait_until(lambda: running.status()["totals"]["in_flight"] == 0, what=f"{running.status()}")
        assert running.outcome("echo", ok=True)[:2] == ("SUCCEEDED", {"ok": True})


class _Answers(BaseHTTPRequestHandler):
    """Step Functions, as far as a poller of full ARNs needs it: any text can be an input."""

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
        """Say nothing."""


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """How a task ends that is given this text, whatever an interpreter would say of it first."""
    handler = type("Handler", (_Answers,), {"tasks": SimpleQueue(), "ended": {}})
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
class TestInputs:
    """Texts that the local interpreter would not hand over."""

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
    def test_it_comes_back(self, given, text):
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
    def test_it_is_named(self, given, text, error, says):
        said, cause = given(text)
        assert said == error
        assert says in cause

    def test_after_all_of_them_it_still_works(self, given):
        assert given('{"ok": true}') == ("SUCCEEDED", '{"ok":true}')


@pytest.mark.acceptance
def test_a_task_that_clears_the_environment_ends_nothing_but_itself(deploy):
    deployment = deploy(BRIDGE_TASKS="bad_jobs", PYTHONPATH=str(HERE))
    deployment.create_activities()
    deployment.worker(concurrency=1)
    deployment.poller()
    assert deployment.outcome("forget")[:2] == ("SUCCEEDED", "who am I?")
    assert deployment.outcome("echo", ok=True)[:2] == ("SUCCEEDED", {"ok": True})


# D. Credentials, region, endpoint

NOWHERE = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "HOME": "/nonexistent",
    "AWS_ACCESS_KEY_ID": "",
    "AWS_SECRET_ACCESS_KEY": "",
}


@pytest.mark.acceptance
class TestAws:
    @pytest.mark.parametrize(
        ("env", "says"),
        [
            (NOWHERE, "credentials"),
            ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
            ({"AWS_PROFILE": "nobody"}, "nobody"),
            ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "AWS_REGION"),
            ({"AWS_REGION": "not a region"}, "region"),
            ({"AWS_ENDPOINT_URL_SFN": "localhost:4566"}, "localhost:4566"),
            ({"AWS_ENDPOINT_URL_SFN": "http://127.0.0.1:1"}, "127.0.0.1:1"),
        ],
        ids=label,
    )
    def test_poll(self, deployment, env, says):
        self.refused(deployment, ["poll"], env, says)

    @pytest.mark.parametrize(
        ("env", "says"),
        [
            (NOWHERE, "credentials"),
            ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
            ({"AWS_ENDPOINT_URL_SFN": "http://127.0.0.1:1"}, "127.0.0.1:1"),
        ],
        ids=label,
    )
    def test_activities_list(self, deployment, env, says):
        self.refused(deployment, ["activities", "list"], env, says)

    @staticmethod
    def refused(deployment, args, env, says):
        env = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent", **env}
        one_sentence(deployment.run(*args, timeout_s=60, **env), says=says, status=(1, 2))

    def test_a_poller_without_credentials_waits_and_ends_when_told(self, running):
        """A full ARN needs no look-up; keys may come while it waits."""
        (running.folder / "waits.py").write_text(
            "from celery import shared_task\n"
            f"@shared_task(activity={ARN.format('waits')!r})\ndef work(event): ...\n"
        )
        process = running.start("waits", "poll", **{**NOWHERE, "BRIDGE_TASKS": "waits"})
        running.processes.remove(process)
        try:
            process.says("no AWS credentials")
            process.says("next in")
            process.signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert "Traceback" not in process.output
        finally:
            process.kill()
