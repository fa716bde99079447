"""The Lambda handler against a real Valkey, a real broker and the local Step Functions.

Two proxies stand in between, one before the store and one before the broker, so that either can be
away alone.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cfnlint.api
import pytest
import redis
from celery import Celery
from cfnlint.config import ManualArgs

import bridge
from bridge import aws_lambda
from bridge.aws_lambda import Function, TaskLost, time_needed_s
from bridge.errors import AccessDenied, SettingsError, StoreUnavailable
from bridge.local.stepfunctions import LocalStepFunctions
from bridge.loops import recovery
from bridge.loops.dispatcher import Dispatcher
from bridge.model import Claim, Job, claim_id_of
from bridge.settings import Settings
from bridge.stepfunctions import ActivityTask, StepFunctions
from bridge.store import ActivityStatus, ClaimStore, JobStore, Status, StatusReader, Wish
from tests.faults.proxy import Proxy
from tests.fixtures_local import REGION, client_of
from tests.waiting import wait_until

ENOUGH_S = 120.0
NUMBERS = itertools.count(1)


def work(event):
    return event


class Context:
    """Lambda's, with a clock that can be set.

    Args:
        left_s: What is left at each question, the last one from then on.
    """

    def __init__(self, *left_s: float) -> None:
        self._left_s = list(left_s) or [ENOUGH_S]

    def get_remaining_time_in_millis(self) -> int:
        left_s = self._left_s.pop(0) if len(self._left_s) > 1 else self._left_s[0]
        return int(left_s * 1000)


@pytest.fixture(scope="module")
def stepfunctions():
    """With short polls; those of the session's are held for 20 s."""
    with LocalStepFunctions(hold_s=2) as server:
        yield server


@dataclass
class Scene:
    """One activity, its task, and everything around the function."""

    app: Celery
    function: Function
    sfn: Any
    settings: Settings
    activity: str
    arn: str
    queue: str
    store: Proxy
    broker: Proxy
    valkey_url: str
    broker_url: str
    jobs: JobStore

    def worker(self, slots: int = 4) -> None:
        self.jobs.renew_lease("w1", number=next(NUMBERS), slots=slots, queues=[self.queue])

    def execute(self, event: Any = None) -> str:
        """Start an execution; it is at its activity when this returns."""
        work = {
            "Type": "Task",
            "Resource": self.arn,
            "End": True,
            "HeartbeatSeconds": 30,
            "TimeoutSeconds": 60,
        }
        machine = self.sfn.create_state_machine(
            name=f"m-{uuid.uuid4().hex[:8]}",
            roleArn="arn:aws:iam::123456789012:role/states",
            definition=json.dumps({"StartAt": "Work", "States": {"Work": work}}),
        )
        started = self.sfn.start_execution(
            stateMachineArn=machine["stateMachineArn"], input=json.dumps(event or {})
        )
        return str(started["executionArn"])

    def read(self) -> Status:
        reader = StatusReader(self.settings)
        try:
            return reader.read([self.activity])
        finally:
            reader.close()

    def status(self) -> ActivityStatus:
        return next(row for row in self.read().activities if row.activity == self.activity)

    def queued(self) -> list[dict[str, Any]]:
        """The messages in the task's queue."""
        with redis.Redis.from_url(self.valkey_url, decode_responses=True) as client:
            return [json.loads(text) for text in client.lrange(self.queue, 0, -1)]

    def keys(self, pattern: str) -> dict[str, str]:
        with redis.Redis.from_url(self.valkey_url, decode_responses=True) as client:
            root = self.settings.root_key
            return {key: client.get(key) for key in client.keys(f"{root}:{pattern}")}

    def pollers(self) -> list[str]:
        return self.read().pollers

    def recover(self) -> recovery.RecoveryCounts:
        """One pass of recovery, as beat does it."""

        async def recover():
            claims = ClaimStore(self.settings)
            try:
                return await recovery.recover(
                    store=claims, jobs=self.jobs, dispatcher=Dispatcher(self.app.bridge)
                )
            finally:
                await claims.close()

        return asyncio.run(recover())


@pytest.fixture
def scene(stepfunctions, valkey, monkeypatch):
    name = f"a{uuid.uuid4().hex[:10]}"
    for variable in list(os.environ):
        if variable.startswith(("BRIDGE_", "CELERY_", "AWS_")):
            monkeypatch.delenv(variable)
    with Proxy("127.0.0.1", valkey.port) as store, Proxy("127.0.0.1", valkey.port) as broker:
        for variable, value in {
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local-secret",
            "AWS_ENDPOINT_URL_SFN": stepfunctions.url,
            "AWS_REGION": REGION,
            "BRIDGE_LEASE_S": "3",
            "BRIDGE_TICK_S": "0.2",
            "BRIDGE_STORE_PREFIX": name,
            "BRIDGE_STORE_URL": f"{store.url('redis')}/0",
        }.items():
            monkeypatch.setenv(variable, value)
        app = Celery("scene", broker=f"{broker.url('redis')}/0", set_as_current=False)
        app.conf.broker_transport_options = {"socket_timeout": 2, "socket_connect_timeout": 2}
        app.conf.task_ignore_result = True
        app.conf.task_default_queue = f"q-{name}"
        with monkeypatch.context() as alone:
            # Or Celery gives it the shared tasks that other tests of this process have imported.
            alone.setattr("celery._state._on_app_finalizers", set())
            bridge.install(app)
            app.finalize()
        app.task(work, name="work", activity=name, shared=False)
        sfn = client_of(stepfunctions.url)
        arn = sfn.create_activity(name=name)["activityArn"]
        settings = app.bridge.settings.model_copy(update={"store_url": valkey.url})
        # The worker is alive however slow this machine is; only the function's leases are short.
        jobs = JobStore(settings.model_copy(update={"lease_s": 60}))
        made = Scene(
            app=app,
            function=Function(app),
            sfn=sfn,
            settings=settings,
            activity=name,
            arn=arn,
            queue=f"q-{name}",
            store=store,
            broker=broker,
            valkey_url=valkey.url,
            broker_url=app.conf.broker_url,
            jobs=jobs,
        )
        yield made
        jobs.close()
        app.close()


def nothing(**fields: Any) -> dict[str, Any]:
    return {"polled": 0, "claimed": 0, "dispatched": 0, "failed": 0, "refused": "", **fields}


class TestOnePoll:
    def test_a_task_is_claimed_stored_and_dispatched(self, scene, caplog):
        caplog.set_level(logging.DEBUG)
        scene.worker()
        scene.execute({"n": 7})
        result = scene.function({"activity": scene.activity}, Context())
        assert result == nothing(polled=1, claimed=1, dispatched=1)

        ((task_key, task),) = scene.keys("task:*").items()
        claim_id, token = task_key.rpartition(":")[2], task.partition("\n")[0]
        (message,) = scene.queued()
        assert message["headers"]["id"] == Job(claim_id, 1).id
        assert message["headers"]["task"] == "work"
        assert (scene.status().queued, scene.status().polls) == (1, 0)
        # Neither does the token leave the store, nor does anything of this poller stay behind.
        assert scene.pollers() == []
        for text in (json.dumps(result), caplog.text, json.dumps(message)):
            assert token not in text
            assert "local-secret" not in text

    def test_without_an_event_every_activity_is_polled_once(self, scene):
        scene.app.task(work, name="other", activity=f"{scene.activity}-2", shared=False)
        scene.sfn.create_activity(name=f"{scene.activity}-2")
        scene.worker()
        scene.execute()
        began = time.monotonic()
        result = scene.function(None, Context())
        assert result == nothing(polled=2, claimed=1, dispatched=1)
        assert time.monotonic() - began < 2 * 2, "both polls are held at the same time"

    def test_an_empty_poll_claims_nothing(self, scene):
        scene.worker()
        assert scene.function({"activity": scene.activity}, Context()) == nothing(polled=1)
        assert scene.queued() == []
        assert scene.status().polls == 0

    def test_one_invocation_claims_one_task_of_an_activity(self, scene):
        scene.worker()
        for _ in range(2):
            scene.execute()
        for n in (1, 2):
            assert scene.function(None, Context())["claimed"] == 1
            assert len(scene.queued()) == n

    def test_its_poll_holds_a_slot_for_longer_than_its_lease(self, scene, monkeypatch):
        """Else another poller would be granted the same slot."""
        scene.worker(slots=1)
        ended = threading.Event()

        async def held(*args, **kwargs):
            while not ended.is_set():
                await asyncio.sleep(0.05)

        monkeypatch.setattr(StepFunctions, "get_activity_task", held)
        results: list[Any] = []
        thread = threading.Thread(
            target=lambda: results.append(scene.function(None, Context())), daemon=True
        )
        thread.start()
        until = time.monotonic() + 4  # the lease of a poller is 3 s
        wait_until(lambda: scene.status().polls == 1)
        while time.monotonic() < until:
            scene.worker(slots=1)
            assert scene.status().polls == 1
            time.sleep(0.2)
        ended.set()
        thread.join(20)
        assert results == [nothing(polled=1)]
        assert scene.status().polls == 0


class TestNoPoll:
    @pytest.fixture(autouse=True)
    def polls(self, monkeypatch):
        """Every poll that is opened."""
        polls: list[Any] = []

        async def noted(*args, **kwargs):
            polls.append(args)

        monkeypatch.setattr(StepFunctions, "get_activity_task", noted)
        return polls

    def test_a_time_out_of_the_function_that_can_never_do_is_an_error(self, scene, polls):
        scene.worker()
        with pytest.raises(SettingsError, match=r"has 60 s left .* 95 s.* time-out to 120 s"):
            scene.function(None, Context(60))
        assert polls == []

    def test_a_start_that_used_up_the_time_is_said(self, scene, polls, caplog):
        scene.worker()
        result = scene.function(None, Context(ENOUGH_S, time_needed_s(scene.settings) - 1))
        assert result["polled"] == 0
        assert "94 s are left after the start" in result["refused"]
        assert "no poll is opened: 94 s" in caplog.text
        assert polls == []

    def test_no_worker(self, scene, polls, caplog):
        result = scene.function(None, Context())
        assert result == nothing(refused=f"no worker serves the queue ({scene.activity})")
        assert "no poll is opened: no worker serves the queue" in caplog.text
        assert polls == []
        assert scene.pollers() == []

    def test_no_slot(self, scene, polls):
        scene.worker(slots=1)

        async def fill():
            claims = ClaimStore(scene.settings)
            for token in ("token-1", "token-2"):  # look_ahead is 1.25
                claim = Claim(claim_id_of(token), scene.activity, "{}")
                await claims.store(
                    claim,
                    token=token,
                    queue=scene.queue,
                    interval_s=10,
                    manual=False,
                    max_attempts=1,
                    poller="p1",
                )
            await claims.close()

        asyncio.run(fill())
        result = scene.function(None, Context())
        assert result["refused"].startswith("no room: the slots and the waiting room")
        assert polls == []

    def test_another_pollers_poll_is_open(self, scene, polls, caplog):
        """It takes the next task: nothing is wrong, and nothing is warned of."""
        scene.worker()

        async def open_one():
            claims = ClaimStore(scene.settings.model_copy(update={"lease_s": 60}))
            await claims.grant_polls("p2", [Wish(scene.activity, scene.queue, 0, 0, idle=1)])
            await claims.close()

        asyncio.run(open_one())
        result = scene.function(None, Context())
        assert result == nothing(
            refused="covered: another poller has a poll open, which takes the next task "
            f"({scene.activity})"
        )
        assert polls == []
        assert "no poll is opened" not in caplog.text

    @pytest.mark.parametrize("way", ["refuse", "freeze"])
    def test_the_store_is_away(self, scene, polls, way):
        scene.worker()
        getattr(scene.store, way)()
        with pytest.raises(StoreUnavailable):
            scene.function(None, Context())
        assert polls == []

    def test_a_store_that_answers_nonsense_is_an_error(self, scene, polls, monkeypatch):
        async def broken(*args):
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(ClaimStore, "grant_polls", broken)
        with pytest.raises(ZeroDivisionError):
            scene.function(None, Context())
        assert polls == []

    @pytest.mark.parametrize("event", [{"activity": "nobodys"}, {"activity": ["x"]}])
    def test_an_activity_that_no_task_has(self, scene, polls, event):
        with pytest.raises(SettingsError, match="is none of"):
            scene.function(event, Context())
        assert polls == []

    def test_eager_tasks(self, scene, polls):
        scene.app.conf.task_always_eager = True
        with pytest.raises(SettingsError, match="Turn it off"):
            scene.function(None, Context())
        assert polls == []


class TestFaults:
    def test_a_broker_that_is_away_leaves_a_claim_that_recovery_dispatches(self, scene, caplog):
        scene.worker()
        scene.execute()
        scene.broker.refuse()
        result = scene.function(None, Context())
        assert result == nothing(polled=1, claimed=1)
        assert "is not dispatched yet" in caplog.text
        assert scene.queued() == []
        scene.broker.heal()
        wait_until(lambda: scene.recover().dispatched == 1, timeout_s=5)
        assert len(scene.queued()) == 1

    def test_a_token_that_is_not_stored_in_time_is_said_to_be_lost(
        self, scene, monkeypatch, caplog
    ):
        """The token is nowhere else, and after its time the function is killed."""
        scene.worker()

        async def brings(*args, **kwargs):
            scene.store.refuse()
            return ActivityTask("the-secret-token", "{}")

        monkeypatch.setattr(StepFunctions, "get_activity_task", brings)
        monkeypatch.setattr(aws_lambda, "AFTERWARDS_S", -70.0)  # it begins with 5 s left
        with pytest.raises(TaskLost, match=r"claims \['[0-9a-f]{24}'\] not stored") as raised:
            scene.function(None, Context(6))
        assert "the-secret-token" not in f"{raised.value} {caplog.text}"

    def test_a_poll_that_does_not_return_is_broken_off_and_said(self, scene, monkeypatch):
        scene.worker()

        async def never(*args, **kwargs):
            await asyncio.sleep(60)

        monkeypatch.setattr(StepFunctions, "get_activity_task", never)
        monkeypatch.setattr(aws_lambda, "AFTERWARDS_S", -70.0)
        began = time.monotonic()
        with pytest.raises(TaskLost, match="1 polls not at an end"):
            scene.function(None, Context(6))
        assert time.monotonic() - began < 6

    def test_a_poll_that_is_refused_is_an_error(self, scene, monkeypatch):
        """Lambda counts errors; results are not read."""
        scene.worker()

        async def refused(*args, **kwargs):
            raise AccessDenied("GetActivityTask: no", code="AccessDeniedException")

        monkeypatch.setattr(StepFunctions, "get_activity_task", refused)
        with pytest.raises(AccessDenied):
            scene.function(None, Context())
        assert scene.pollers() == []

    def test_a_second_invocation_after_a_freeze_that_cut_every_connection(self, scene):
        scene.worker()
        for n in (1, 2, 3):
            scene.execute()
            assert scene.function(None, Context())["dispatched"] == 1
            assert len(scene.queued()) == n
            wait_until(
                lambda: scene.store.connections == scene.broker.connections == 0,
                timeout_s=2,
                what="nothing stays open",
            )
            scene.store.cut()
            scene.broker.cut()

    def test_connections_that_stayed_open_may_be_cut(self, scene, monkeypatch):
        """If an invocation is killed, it closes nothing."""
        scene.worker()
        scene.execute()
        with monkeypatch.context() as patch:
            patch.setattr(type(scene.app.pool), "resize", lambda *args, **kwargs: None)
            assert scene.function(None, Context())["dispatched"] == 1
            assert scene.broker.connections > 0
        scene.broker.cut()
        scene.execute()
        assert scene.function(None, Context())["claimed"] == 1
        wait_until(lambda: scene.recover() and len(scene.queued()) == 2, timeout_s=5)


class TestAsDeployed:
    def test_the_handler_of_the_module_takes_app_and_settings_from_the_environment(
        self, scene, tmp_path
    ):
        """Two invocations of one process, as Lambda starts it."""
        (tmp_path / "nightly.py").write_text(
            textwrap.dedent(f"""
                from celery import shared_task

                @shared_task(activity={scene.activity!r})
                def work(event):
                    raise AssertionError("jobs do not run here")
            """)
        )
        (tmp_path / "runtime.py").write_text(
            textwrap.dedent("""
                import json
                from importlib import import_module

                class Context:
                    def get_remaining_time_in_millis(self):
                        return 120_000

                handler = import_module("bridge.aws_lambda").handler
                for _ in range(2):
                    print(json.dumps(handler({"source": "aws.scheduler"}, Context())))
            """)
        )
        scene.jobs.renew_lease("w1", number=1, slots=4, queues=["celery"])
        for _ in range(2):
            scene.execute()
        done = subprocess.run(
            [sys.executable, "runtime.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "BRIDGE_TASKS": "nightly", "CELERY_BROKER_URL": scene.broker_url},
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert lines == [nothing(polled=1, claimed=1, dispatched=1)] * 2, done.stderr
        tokens = [task.partition("\n")[0] for task in scene.keys("task:*").values()]
        assert len(tokens) == 2
        assert not any(token in done.stdout + done.stderr for token in tokens)

    def test_the_template_of_the_docs_is_valid_and_gives_enough_time(self):
        text = (Path(__file__).parents[2] / "docs/lambda.md").read_text()
        (template,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
        regions = ManualArgs(regions=["us-east-1", "eu-west-1"])
        assert cfnlint.api.lint(template, config=regions) == []
        timeout_s = int(re.search(r"Timeout: (\d+)", template)[1])
        needed_s = time_needed_s(Settings())
        assert timeout_s >= needed_s + 25, "a cold start takes some of it"
        assert f"only while {needed_s:.0f} s are left" in text
        module, _, name = re.search(r"Handler: (\S+)", template)[1].rpartition(".")
        assert (module, callable(getattr(aws_lambda, name))) == ("bridge.aws_lambda", True)


def test_it_uses_only_what_a_poller_offers():
    """The private parts of a poller may change."""
    assert re.findall(r"poller\._\w+", inspect.getsource(aws_lambda)) == []
