"""A bad activity name, ARN, option or task is refused in one sentence that names it."""

from __future__ import annotations

import signal

import pytest
from celery import Celery

import bridge
from bridge import registry
from bridge.app_state import installed
from bridge.errors import SettingsError
from tests.faults.refused_commands import ARN, assert_one_sentence


@pytest.mark.filterwarnings(r"ignore:\s*The 'queue' task attribute")
class TestDeclarations:
    """Tasks as users declare them; every command calls ``load_tasks``, which refuses these."""

    @pytest.fixture
    def refused(self, without_settings):
        without_settings.setattr("celery._state._on_app_finalizers", set())
        without_settings.setattr(registry, "_bindings", {})
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
    def test_a_bad_name_is_refused(self, refused, name, says):
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
    def test_a_bad_option_is_refused(self, refused, options, says):
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
            "only self",
            "two tasks",
            "bound to no task",
            "bound twice",
            "an unknown option",
            "no activity",
        ],
    )
    def test_a_bad_task_is_refused(self, refused, source, says):
        assert says in refused(source)


@pytest.mark.acceptance
class TestArns:
    def test_a_missing_activity_is_named_at_each_poll_of_its_region(self, running):
        """An ARN is polled in its own region; the log names an activity that is missing there."""
        arn = ARN.format("resize").replace("us-east-1", "eu-west-1")
        self.write(running, arn)
        poller = running.poller(BRIDGE_TASKS="arns")
        poller.says(f"ActivityDoesNotExist (HTTP 400): Activity Does Not Exist: '{arn}'")
        poller.signal(signal.SIGTERM)
        assert poller.wait() == 0
        running.processes.remove(poller)

    def test_a_name_and_its_arn_are_one_activity(self, running):
        """Two tasks, one of them with the name and one with the ARN, are refused."""
        self.write(running, f"{running.prefix}-echo", running.arn("echo"))
        done = running.run("poll", BRIDGE_TASKS="arns")
        assert_one_sentence(done, says="are the same activity")

    @staticmethod
    def write(deployment, *names: str) -> None:
        tasks = [
            f"@shared_task(activity={name!r})\ndef work{n}(event): ...\n"
            for n, name in enumerate(names)
        ]
        text = "from celery import shared_task\n" + "".join(tasks)
        (deployment.folder / "arns.py").write_text(text)
