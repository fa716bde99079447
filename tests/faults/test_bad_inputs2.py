"""More bad inputs than test_bad_inputs has: settings and task options, data, commands.

Each is a clear named error, or the exact data; nothing hangs, nothing is lost.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from celery import Celery

from bridge import registry, settings
from bridge.errors import SettingsError
from bridge.local.valkey import LocalValkey
from bridge.names import check_activity
from bridge.settings import Settings
from tests.acceptance.deployment import Deployment
from tests.waiting import wait_until

ARN = "arn:aws:states:us-east-1:123456789012:activity:{}"
SECRET = "s3cret"


def misbehaves(*values: Any, why: str):
    """A case that the bridge gets wrong today."""
    return pytest.param(*values, marks=pytest.mark.xfail(strict=True, reason=why))


# A: at start, in this process


@pytest.fixture
def bare(monkeypatch):
    """An environment without settings of ours."""
    for name in os.environ:
        if name.startswith("BRIDGE_"):
            monkeypatch.delenv(name)
    return monkeypatch


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [
            ("BRIDGE_", "1", "BRIDGE_ is no setting"),
            ("BRIDGE_STORE_URLS", "redis://x", "Did you mean BRIDGE_STORE_URL?"),
            ("BRIDGE_lease_s", "3", "BRIDGE_lease_s is no setting"),
            ("BRIDGE_ACTIVITIES", "{oops", "JSON"),
            misbehaves(
                "BRIDGE_ACTIVITIES",
                "{",
                "BRIDGE_ACTIVITIES",
                why="names the field, not the variable",
            ),
            ("BRIDGE_ACTIVITIES", "", "JSON"),
            ("BRIDGE_ACTIVITIES", "7", "BRIDGE_ACTIVITIES"),
            ("BRIDGE_ACTIVITIES", '["resize"]', "BRIDGE_ACTIVITIES"),
            ("BRIDGE_ACTIVITIES", '{"resize": 7}', "BRIDGE_ACTIVITIES"),
            ("BRIDGE_ACTIVITIES", '{"a b": "work"}', "'a b'"),
            misbehaves("BRIDGE_ACTIVITIES", '{"a": "x", "a": "y"}', "'a'", why="the last one wins"),
            ("BRIDGE_LEASE_S", "", "BRIDGE_LEASE_S"),
            ("BRIDGE_LEASE_S", "15s", "BRIDGE_LEASE_S"),
            ("BRIDGE_LEASE_S", "-15", "BRIDGE_LEASE_S"),
            ("BRIDGE_LEASE_S", "NaN", "BRIDGE_LEASE_S"),
            ("BRIDGE_LEASE_S", "inf", "BRIDGE_LEASE_S"),
            ("BRIDGE_LEASE_S", "0", "BRIDGE_LEASE_S"),
            ("BRIDGE_LEASE_S", "1.99", "twice BRIDGE_TICK_S=1"),
            ("BRIDGE_TICK_S", "-1", "BRIDGE_TICK_S"),
            ("BRIDGE_TICK_S", "30", "BRIDGE_TICK_S=30"),
            ("BRIDGE_HEARTBEAT_S", "0", "BRIDGE_HEARTBEAT_S"),
            ("BRIDGE_HEARTBEAT_S", "0.9", "BRIDGE_HEARTBEAT_S=0.9"),
            ("BRIDGE_HEARTBEAT_S", "nan", "BRIDGE_HEARTBEAT_S"),
            ("BRIDGE_PATIENCE_S", "nan", "BRIDGE_PATIENCE_S"),
            misbehaves(
                "BRIDGE_PATIENCE_S",
                "inf",
                "BRIDGE_PATIENCE_S",
                why="taken; store.ms(inf) raises at the first claim",
            ),
            ("BRIDGE_LOOK_AHEAD", "-inf", "BRIDGE_LOOK_AHEAD"),
            ("BRIDGE_POLL_TIMEOUT_S", "nan", "BRIDGE_POLL_TIMEOUT_S"),
            ("BRIDGE_MAX_ATTEMPTS", "2.5", "BRIDGE_MAX_ATTEMPTS"),
            ("BRIDGE_MAX_ATTEMPTS", "true", "BRIDGE_MAX_ATTEMPTS"),
            ("BRIDGE_MAX_ATTEMPTS", "0", "BRIDGE_MAX_ATTEMPTS"),
            ("BRIDGE_CONCURRENT_CALLS", "1e9", "BRIDGE_CONCURRENT_CALLS"),
            ("BRIDGE_MAX_POLLS_PER_ACTIVITY", "", "BRIDGE_MAX_POLLS_PER_ACTIVITY"),
            ("BRIDGE_STORE_PREFIX", "with space", "BRIDGE_STORE_PREFIX"),
            ("BRIDGE_STORE_PREFIX", "{tag}", "BRIDGE_STORE_PREFIX"),
            ("BRIDGE_STORE_PREFIX", "line\n", "BRIDGE_STORE_PREFIX"),
            ("BRIDGE_STORE_PREFIX", "", "BRIDGE_STORE_PREFIX"),
            ("BRIDGE_STORE_PREFIX", "p" * 41, "BRIDGE_STORE_PREFIX"),
            ("BRIDGE_STORE_URL", "127.0.0.1:6379", "'127.0.0.1:6379'"),
            ("BRIDGE_STORE_URL", "memory://", "'memory://'"),
            misbehaves(
                "BRIDGE_STORE_URL",
                "redis://127.0.0.1:port/0",
                "BRIDGE_STORE_URL",
                why="only the scheme is checked",
            ),
            misbehaves(
                "BRIDGE_STORE_URL",
                "redis://127.0.0.1:6379/zero",
                "BRIDGE_STORE_URL",
                why="only the scheme is checked",
            ),
            ("BRIDGE_TASKS", ",", "BRIDGE_TASKS"),
        ],
    )
    def test_a_value(self, bare, name, value, says):
        bare.setenv(name, value)
        with pytest.raises(SettingsError) as caught:
            settings.load()
        assert says in str(caught.value)
        assert caught.value.exit_code == 2
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "url",
        [
            f"amqp://user:{SECRET}@rabbit//",
            f"http://:{SECRET}@x",
            f"http://user:a{SECRET}%40@x",
            misbehaves(f"HTTP://user:{SECRET}@x", why="mask_url shows it"),
            misbehaves(f"s3://user:{SECRET}@x", why="mask_url shows it"),
            misbehaves(f"http://user:a/{SECRET}@x", why="mask_url shows it"),
            misbehaves(f"http://user:a@{SECRET}@x", why="mask_url shows it"),
            misbehaves(f"user:{SECRET}@x:6379", why="mask_url shows it"),
            misbehaves(f"http://x/0?password={SECRET}", why="mask_url shows it"),
        ],
    )
    @pytest.mark.parametrize("name", ["BRIDGE_STORE_URL", "CELERY_BROKER_URL"])
    def test_a_password_is_not_shown(self, bare, name, url):
        if name == "BRIDGE_STORE_URL":
            bare.setenv(name, url)
        with pytest.raises(SettingsError, match="Redis") as caught:
            settings.load(**({} if name == "BRIDGE_STORE_URL" else {"broker_url": url}))
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "is empty"),
        ("a" * 81, "has 81 characters"),
        ("my work", "' ' at position 3"),
        ("work[1]", "'[' at position 5"),
        ("wo\x07rk", r"'\x07' at position 3"),
        ("work\n", r"'\n' at position 5"),
        ("wörk", "'ö' at position 2"),
        ("w\ud800rk", r"'\ud800' at position 2"),
        ("work١", "at position 5"),
        ("-", "hyphen"),
        (" arn:aws:states:us-east-1:123456789012:activity:x", "' ' at position 1"),
        (ARN.format("x").replace(":activity:", ":stateMachine:"), "stateMachine:x"),
        (ARN.format("x").replace("states", "lambda"), "is no activity ARN"),
        (ARN.format("x\n"), r"activity:x\n"),
        (ARN.format("x" * 81), "is no activity ARN"),
        (ARN.format(""), "is no activity ARN"),
        misbehaves(ARN.format("x\x00"), r"x\x00", why="any name without white space is taken"),
        misbehaves(ARN.format("x:y"), "x:y", why="any name without white space is taken"),
        misbehaves(ARN.format("x[1]"), "x[1]", why="any name without white space is taken"),
        (b"work", "bytes"),
        (True, "bool"),
        (["work"], "list"),
    ],
)
def test_an_activitys_name(name, says):
    with pytest.raises(SettingsError) as caught:
        check_activity(name)
    assert says in str(caught.value)
    str(caught.value).encode()  # it can be printed
    assert "\n" not in str(caught.value)


def work(event):
    return event


class TestTasks:
    @pytest.fixture
    def app(self, bare):
        bare.setattr("celery._state._on_app_finalizers", set())
        bare.setattr(registry, "_bindings", {})
        app = Celery("bad", set_as_current=False)
        yield app
        app.close()

    @staticmethod
    def refused(app, says, **values):
        app.finalize()
        with pytest.raises(SettingsError) as caught:
            registry.build(app, Settings(**values))
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"heartbeat": "auto"}, "heartbeat='auto'"),
            ({"heartbeat": True}, "heartbeat=True"),
            ({"heartbeat": -1}, "heartbeat=-1"),
            ({"heartbeat": 0}, "heartbeat=0"),
            ({"heartbeat": "20"}, "heartbeat='20'"),
            ({"heartbeat": 0.2}, "heartbeat=0.2"),
            misbehaves(
                {"heartbeat": float("nan")},
                "heartbeat=nan",
                why="taken; store.ms raises at the first claim",
            ),
            misbehaves(
                {"heartbeat": float("inf")},
                "heartbeat=inf",
                why="taken; store.ms raises at the first claim",
            ),
            ({"max_attempts": 0}, "max_attempts=0"),
            ({"max_attempts": -1}, "max_attempts=-1"),
            ({"max_attempts": "3"}, "max_attempts='3'"),
            ({"max_attempts": True}, "max_attempts=True"),
            ({"max_attempts": 3.0}, "max_attempts=3.0"),
            ({"on_lost": "ignore"}, "on_lost='ignore'"),
            ({"on_lost": ""}, "on_lost=''"),
            ({"on_lost": ["retry"]}, "on_lost=['retry']"),
            misbehaves(
                {"terminate_on_cancel": "no"},
                "terminate_on_cancel='no'",
                why="any text is taken for True",
            ),
            ({"activity": ""}, "is empty"),
            ({"activity": 7}, "activity=7"),
            ({"activity": ["a", "b"]}, "activity=['a', 'b']"),
        ],
        ids=str,
    )
    def test_an_option(self, app, options, says):
        app.task(name="work", shared=False, **{"activity": "resize", **options})(work)
        self.refused(app, says)

    def test_two_required_arguments(self, app):
        @app.task(name="pair", shared=False, activity="resize")
        def pair(left, right):
            return left, right

        self.refused(app, "task pair")

    def test_no_argument(self, app):
        @app.task(name="none", shared=False, activity="resize")
        def none():
            return None

        self.refused(app, "task none")

    def test_a_required_keyword(self, app):
        @app.task(name="keyword", shared=False, activity="resize")
        def keyword(event, *, size):
            return event, size

        self.refused(app, "task keyword")

    def test_two_tasks(self, app):
        app.task(name="one", shared=False, activity="resize")(work)
        app.task(name="two", shared=False, activity="resize")(work)
        self.refused(app, "'resize' has two tasks, one and two")

    def test_two_tasks_one_bound(self, app):
        app.task(name="one", shared=False, activity="resize")(work)
        app.task(name="two", shared=False)(work)
        registry.bind("resize", "two")
        self.refused(app, "'resize' has two tasks, two and one")

    def test_bound_to_nothing(self, app):
        registry.bind("resize", "nowhere")
        self.refused(app, "'nowhere'")

    def test_bound_here_and_there(self, app):
        registry.bind("resize", "one")
        self.refused(app, "'resize'", activities={"resize": "one"})


# B: at one deployment, which has to survive all of them

JOBS = """
import datetime, decimal, os, sys, threading, uuid
from celery import shared_task
from bridge import ActivityError

PREFIX = os.environ["JOBS_PREFIX"]


class Wordless(Exception):
    def __str__(self):
        raise RuntimeError("I cannot be said")

    __repr__ = __str__


class Leaving(Exception):
    def __str__(self):
        sys.exit(4)


class Locked(Exception):
    def __init__(self, first, second):
        super().__init__(first)
        self.lock = threading.Lock()


class Lazy(ActivityError):
    def __init__(self):
        pass


class Endless(Exception):
    def __str__(self):
        return str(self)


def endless(n=0):
    return endless(n + 1)


def loud():
    raise ValueError("x" * 100_000)


def throw(exc):
    raise exc


def changed():
    exc = ActivityError("Odd", "row 7")
    exc.error, exc.cause = 404, None
    raise exc


class Text(str):
    def __str__(self):
        raise RuntimeError


DOES = {
    "nan": lambda: {"mean": float("nan")},
    "bytes": lambda: {"raw": b"raw"},
    "set": lambda: [{1, 2}],
    "datetime": lambda: datetime.datetime.now(),
    "uuid": lambda: uuid.uuid4(),
    "decimal": lambda: decimal.Decimal("1.1"),
    "int keys": lambda: {1: "a", None: "b", True: "c", 2.5: "d"},
    "colliding keys": lambda: {1: "a", "1": "b"},
    "nan key": lambda: {float("nan"): 1},
    "tuple keys": lambda: {(1, 2): "a"},
    "surrogate": lambda: {"text": "half \\ud83d of it"},
    "surrogate key": lambda: {"\\udc00": 1},
    "too large": lambda: "x" * 262_143,
    "largest": lambda: "x" * 262_142,
    "long integer": lambda: 10**5000,
    "10 MB": lambda: ["x" * 1_000_000] * 10,
    "itself": lambda: DOES,
    "100 KB message": lambda: loud(),
    "surrogate message": lambda: throw(ValueError("half \\ud83d of it")),
    "wordless": lambda: throw(Wordless()),
    "endless words": lambda: throw(Endless()),
    "leaves when asked": lambda: throw(Leaving()),
    "long name": lambda: throw(type("N" * 300, (Exception,), {})("long")),
    "astral name": lambda: throw(type("\\U00020000" * 200, (Exception,), {})("astral")),
    "no name": lambda: throw(type("", (Exception,), {})("nameless")),
    "locked": lambda: throw(Locked(1, 2)),
    "lazy": lambda: throw(Lazy()),
    "changed": lambda: changed(),
    "interrupt": lambda: throw(KeyboardInterrupt()),
    "exit with words": lambda: sys.exit("words"),
    "exit with 0": lambda: sys.exit(0),
    "recursion": lambda: endless(),
    "out of memory": lambda: throw(MemoryError()),
    "stop": lambda: throw(StopIteration(7)),
    "base": lambda: throw(BaseException("the very base")),
    "ends its process": lambda: os._exit(0),
}


@shared_task(activity=f"{PREFIX}-echo", heartbeat=1)
def echo(event):
    return event


@shared_task(activity=f"{PREFIX}-kind", heartbeat=1)
def kind(event):
    return type(event["it"]).__name__


@shared_task(activity=f"{PREFIX}-do", heartbeat=1)
def do(event):
    return DOES[event]()
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory, local_stepfunctions):
    folder = tmp_path_factory.mktemp("bad2")
    (folder / "badjobs.py").write_text(JOBS)
    deployment = Deployment(
        folder, valkey=LocalValkey().start(), stepfunctions_url=local_stepfunctions.url,
        BRIDGE_TASKS="badjobs", PYTHONPATH=str(folder))  # fmt: skip
    try:
        deployment.create_activities()
        deployment.worker(concurrency=2)
        deployment.beat()
        deployment.poller()
        yield deployment
        assert [process.name for process in deployment.processes if not process.alive] == []
    finally:
        deployment.stop()


@pytest.fixture(scope="module")
def outcome(running):
    """(status, error or output, cause) of a task that is given this JSON text."""
    machines: dict[str, str] = {}

    def of(kind: str, text: str) -> tuple[str, Any, str]:
        if kind not in machines:
            machines[kind] = running.one_state(kind)
        started = running.sfn.start_execution(stateMachineArn=machines[kind], input=text)
        found = running.ended(started["executionArn"], timeout_s=30)
        if found["status"] != "SUCCEEDED":
            return found["status"], found.get("error", ""), found.get("cause", "")
        details = running.history(started["executionArn"])[-1]["executionSucceededEventDetails"]
        return "SUCCEEDED", json.loads(details["output"]), ""

    return of


@pytest.mark.acceptance
class TestData:
    @pytest.mark.parametrize(
        "text",
        [
            "-0.5",
            '"seven"',
            "null",
            "false",
            '[null, [], {}, ""]',
            "[" * 300 + "]" * 300,  # 500 are too deep for moto's interpreter, not for us
            '{"a":' * 300 + "1" + "}" * 300,
            '{"\\u0000": "a\\u0000b"}',
            '{"💥": "𝒳\\ud83d\\ude00\\u2028"}',
            json.dumps({"text": "x" * 200_000}),
            json.dumps([[n, str(n)] for n in range(10_000)]),
            '{"": 1, " ": 2, "self": 3, "task_id": 4, "args": [5], "kwargs": {"a": 6}}',
            "1e300",
            "123456789012345678901234567890",
            '{"py/object": "os.system", "$ref": "#"}',
        ],
        ids=lambda text: text[:30].encode("ascii", "backslashreplace").decode(),
    )
    def test_an_input_comes_back(self, outcome, text):
        status, output, cause = outcome("echo", text)
        assert (status, output) == ("SUCCEEDED", json.loads(text)), cause

    @pytest.mark.parametrize(
        ("what", "error", "says"),
        [
            ("nan", "Bridge.OutputNotJson", "Out of range float"),
            ("bytes", "Bridge.OutputNotJson", "bytes"),
            ("set", "Bridge.OutputNotJson", "set"),
            ("datetime", "Bridge.OutputNotJson", "datetime"),
            ("uuid", "Bridge.OutputNotJson", "UUID"),
            ("decimal", "Bridge.OutputNotJson", "Decimal"),
            misbehaves(
                "colliding keys", "Bridge.OutputNotJson", "1", why="one of two values is lost"
            ),
            ("nan key", "Bridge.OutputNotJson", "Out of range float"),
            ("tuple keys", "Bridge.OutputNotJson", "tuple"),
            ("surrogate", "Bridge.OutputNotJson", "surrogates"),
            ("surrogate key", "Bridge.OutputNotJson", "surrogates"),
            ("too large", "Bridge.OutputTooLarge", "262,145 bytes"),
            ("long integer", "Bridge.OutputNotJson", "digits"),
            ("10 MB", "Bridge.OutputTooLarge", "262,144"),
            ("itself", "Bridge.OutputNotJson", "function"),
            ("100 KB message", "ValueError", "xxx"),
            ("surrogate message", "ValueError", "half ? of it"),
            ("wordless", "Wordless", "cannot be put into words"),
            ("endless words", "Endless", "Endless"),
            ("leaves when asked", "Bridge.WorkerLost", "exitcode 4"),
            ("long name", "N" * 256, "long"),
            ("astral name", "\U00020000" * 128, "astral"),
            misbehaves("no name", "Exception", "nameless", why="the error is empty"),
            ("locked", "Locked", "1"),
            misbehaves("lazy", "Lazy", "", why="AttributeError of ours, in except of _run"),
            misbehaves("changed", "404", "", why="AttributeError of ours, in except of _run"),
            ("interrupt", "KeyboardInterrupt", "KeyboardInterrupt"),
            ("exit with words", "SystemExit", "words"),
            ("exit with 0", "SystemExit", "0"),
            ("recursion", "RecursionError", "recursion"),
            ("stop", "StopIteration", "7"),
            ("base", "BaseException", "the very base"),
            ("ends its process", "Bridge.WorkerLost", "died"),
            ("no such thing", "KeyError", "no such thing"),
        ],
    )
    def test_an_ending_has_a_name(self, outcome, what, error, says):
        status, said_error, cause = outcome("do", json.dumps(what))
        assert (status, said_error) == ("FAILED", error), cause
        assert says in cause
        assert len(cause) <= 32_768

    @pytest.mark.parametrize(
        ("what", "output"),
        [
            ("int keys", {"1": "c", "null": "b", "2.5": "d"}),  # as json.dumps has it; True == 1
            ("largest", "x" * 262_142),
        ],
    )
    def test_an_odd_output_is_taken(self, outcome, what, output):
        assert outcome("do", json.dumps(what))[:2] == ("SUCCEEDED", output)

    def test_half_a_surrogate_pair_is_an_input(self, outcome):
        """Escaped, it is JSON; the task has it, and only an output must not hold it."""
        assert outcome("kind", r'{"it": "half \ud83d"}')[:2] == ("SUCCEEDED", "str")
        assert outcome("echo", r'{"it": "half \ud83d"}')[1] == "Bridge.OutputNotJson"

    def test_nothing_is_left_of_them(self, running, outcome):
        wait_until(lambda: running.status()["totals"]["in_flight"] == 0, what=f"{running.status()}")
        assert outcome("echo", '{"all": "well"}')[:2] == ("SUCCEEDED", {"all": "well"})


@pytest.mark.acceptance
class TestPoison:
    """What breaks more than its own job; each has a deployment of its own."""

    @pytest.fixture
    def alone(self, deploy, tmp_path):
        (tmp_path / "badjobs.py").write_text(JOBS)
        deployment = deploy(BRIDGE_TASKS="badjobs", PYTHONPATH=str(tmp_path))
        deployment.create_activities()
        deployment.worker(concurrency=2)
        deployment.beat()
        deployment.poller()
        return deployment

    @staticmethod
    def execute(deployment, kind, text, *, timeout_s=15.0):
        started = deployment.sfn.start_execution(
            stateMachineArn=deployment.one_state(kind), input=text
        )
        found = deployment.ended(started["executionArn"], timeout_s=timeout_s)
        if found["status"] != "SUCCEEDED":
            return found["status"], found.get("error", "")
        details = deployment.history(started["executionArn"])[-1]
        return "SUCCEEDED", json.loads(details["executionSucceededEventDetails"]["output"])

    @pytest.mark.parametrize(
        "text",
        [
            misbehaves(
                '{"__type__": "datetime", "__value__": "2026-01-01T00:00:00"}',
                why="kombu makes it a datetime: the task is given something else",
            ),
            misbehaves(
                '{"deep": [{"__type__": "uuid", "__value__": {"hex": "x"}}]}',
                why="the worker drops the message unseen; published anew without end",
            ),
            misbehaves(
                '{"__type__": "invoice", "__value__": 7}',
                why="the worker drops the message unseen; published anew without end",
            ),
        ],
    )
    def test_an_input_that_looks_like_kombus_json(self, alone, text):
        assert self.execute(alone, "echo", text) == ("SUCCEEDED", json.loads(text))

    @pytest.mark.xfail(strict=True, reason="Celery's worker ends at a MemoryError of a task")
    def test_a_memory_error_ends_its_job_only(self, alone):
        assert self.execute(alone, "do", '"out of memory"') == ("FAILED", "MemoryError")
        assert self.execute(alone, "echo", "1") == ("SUCCEEDED", 1)


# C: commands

NO_KEYS = {
    "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true",
    "HOME": "/nonexistent",
}  # fmt: skip
MODULES = {
    "broken": "def oops(:\n",
    "needy": "import no_such_library\n",
    "raising": "raise RuntimeError('the tasks cannot be imported')\n",
    "leaving": "import sys; sys.exit(0)\n",
    "taskless": "",
}


@pytest.mark.acceptance
class TestCommands:
    @staticmethod
    def refused(done, *, status, says):
        shown = done.stdout + done.stderr
        assert done.returncode in status, shown
        for text in says:
            assert text in done.stderr, shown
        assert "Traceback" not in shown
        assert "local-secret" not in shown
        assert SECRET not in shown

    @pytest.mark.parametrize(
        ("env", "status", "says"),
        [
            misbehaves(
                {"BRIDGE_TASKS": "no.such.module"},
                {2},
                ["'no.such.module'"],
                why="a traceback: only the last part of a dotted name is looked at",
            ),
            ({"BRIDGE_TASKS": "taskless"}, {2}, ["taskless", "nothing to claim"]),
            misbehaves(
                {"BRIDGE_TASKS": "leaving"}, {1, 2}, ["leaving"], why="ends well, in silence"
            ),
            misbehaves(
                {"BRIDGE_TASKS": "../badjobs"},
                {2},
                ["../badjobs"],
                why="a traceback: TypeError of importlib",
            ),
            misbehaves(
                {"BRIDGE_TASKS": ".badjobs"},
                {2},
                [".badjobs"],
                why="a traceback: TypeError of importlib",
            ),
            ({"AWS_PROFILE": "nobody"}, {2}, ["nobody"]),
            (NO_KEYS, {1, 2}, ["no AWS credentials"]),
            ({"AWS_SECRET_ACCESS_KEY": ""}, {1, 2}, ["AWS_SECRET_ACCESS_KEY"]),
            ({"AWS_ENDPOINT_URL_SFN": "127.0.0.1:8083"}, {2}, ["127.0.0.1:8083"]),
            ({"AWS_ENDPOINT_URL_SFN": f"http://me:{SECRET}@x"}, {2}, ["AWS_ENDPOINT_URL_SFN"]),
            ({"AWS_ENDPOINT_URL_SFN": "http://127.0.0.1:1"}, {1}, ["http://127.0.0.1:1"]),
            misbehaves(
                {"AWS_ENDPOINT_URL_SFN": "http://127.0.0.1:99999"},
                {2},
                ["99999"],
                why="a traceback: ValueError of urllib",
            ),
            ({"AWS_REGION": ""}, {2}, ["no AWS region is set"]),
            ({"AWS_REGION": "us_east_1!"}, {2}, ["us_east_1!"]),
            ({"AWS_CONFIG_FILE": "broken.py"}, {2}, ["broken.py"]),
            (
                {"AWS_ENDPOINT_URL_SFN": "https://127.0.0.1:1", "AWS_CA_BUNDLE": "/no/bundle"},
                {1, 2},
                ["https://127.0.0.1:1"],
            ),
            ({"CELERY_BROKER_URL": f"nosuch://:{SECRET}@x/"}, {1, 2}, ["nosuch"]),
            ({"BRIDGE_STORE_URL": f"redis://:{SECRET}@127.0.0.1:port/0"}, {1, 2}, ["port"]),
        ],
        ids=lambda value: (
            ",".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else ""
        ),
    )
    def test_poll(self, running, env, status, says):
        for name, text in MODULES.items():
            (running.folder / f"{name}.py").write_text(text)
        self.refused(running.run("poll", **env), status=status, says=says)

    @pytest.mark.parametrize(
        ("module", "says"),
        [
            ("broken", ["broken.py", "SyntaxError"]),
            ("needy", ["needy.py", "no_such_library"]),
            ("raising", ["raising.py", "the tasks cannot be imported"]),
        ],
    )
    def test_a_module_that_cannot_be_imported(self, running, module, says):
        """With the traceback: it shows the user's own line."""
        (running.folder / f"{module}.py").write_text(MODULES[module])
        done = running.run("poll", BRIDGE_TASKS=module)
        assert done.returncode != 0
        assert [text for text in says if text not in done.stderr] == []
        assert "local-secret" not in done.stderr

    @pytest.mark.parametrize(
        ("env", "status", "says"),
        [
            ({"AWS_PROFILE": "nobody"}, {2}, ["nobody"]),
            (NO_KEYS, {1, 2}, ["no AWS credentials"]),
            ({"AWS_SECRET_ACCESS_KEY": ""}, {1, 2}, ["AWS_SECRET_ACCESS_KEY"]),
            ({"AWS_ENDPOINT_URL_SFN": "localhost"}, {2}, ["localhost"]),
            ({"AWS_ENDPOINT_URL_SFN": "http://127.0.0.1:1"}, {1}, ["http://127.0.0.1:1"]),
            ({"AWS_REGION": ""}, {2}, ["no AWS region is set"]),
        ],
        ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
    )
    def test_activities_list(self, running, env, status, says):
        self.refused(running.run("activities", "list", **env), status=status, says=says)

    @pytest.mark.parametrize(
        ("env", "says"),
        [
            ({"BRIDGE_LEASE": "3"}, "Did you mean BRIDGE_LEASE_S?"),
            ({"BRIDGE_LEASE_S": "NaN"}, "BRIDGE_LEASE_S"),
            ({"BRIDGE_ACTIVITIES": "{"}, "activities"),
            ({"BRIDGE_STORE_URL": f"http://me:{SECRET}@x"}, "no Redis URL"),
            ({"CELERY_BROKER_URL": f"amqp://me:{SECRET}@x//"}, "BRIDGE_STORE_URL"),
        ],
        ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
    )
    def test_settings(self, running, env, says):
        self.refused(running.run("settings", **env), status={2}, says=[says])

    def test_settings_show_what_is_wrong_at_aws(self, running):
        """A report, so it ends well: what is impossible stands in it."""
        for env in ({"AWS_PROFILE": "nobody"}, {"AWS_REGION": ""}):
            done = running.run("settings", "--json", **env)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["aws"]["problem"]

    def test_a_poller_that_asks_for_no_name_waits(self, running):
        """Full ARNs need no look-up: away or without keys, it says so and goes on trying."""
        (running.folder / "arnjobs.py").write_text(
            "from celery import shared_task\n"
            f"@shared_task(activity={ARN.format('elsewhere')!r})\n"
            "def work(event): return event\n"
        )
        for env in ({"AWS_ENDPOINT_URL_SFN": "http://127.0.0.1:1"}, NO_KEYS):
            process = running.start("waiting", "poll", **{"BRIDGE_TASKS": "arnjobs", **env})
            running.processes.remove(process)
            try:
                process.says("poll of arn:", timeout_s=40)
                assert "next in" in process.output
                assert "Traceback" not in process.output
                assert process.alive
            finally:
                process.kill()

    def test_after_all_of_them_it_still_works(self, running, outcome):
        assert outcome("echo", "1")[:2] == ("SUCCEEDED", 1)
        assert running.status()["totals"]["in_flight"] == 0
