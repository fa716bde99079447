"""A bad setting is refused in one sentence that names it; no password is shown.

Commands are real processes. Where one command shows that a path ends in one sentence, more cases
of that path call the function that the command calls.
"""

from __future__ import annotations

import pytest

from bridge import settings
from bridge.errors import SettingsError
from tests.faults.refused_commands import ARN, SECRET, assert_one_sentence, shown_settings


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
        ({"BRIDGE_STORE_URL": f"HTTP://:{SECRET}"}, "not a Redis URL"),
        ({"BRIDGE_STORE_URL": "amqp://x"}, "not a Redis URL"),
        ({"BRIDGE_STORE_URL": "sentinel://x"}, "?master_name="),
        ({"BRIDGE_STORE_URL": " redis://x"}, "not a Redis URL"),
        ({"BRIDGE_LEASE_S": "-3"}, "BRIDGE_LEASE_S"),
        ({"BRIDGE_STORE_PREFIX": "a b"}, "BRIDGE_STORE_PREFIX"),
        ({"BRIDGE_STORE_PREFIX": "a:b"}, "BRIDGE_STORE_PREFIX"),
        ({"BRIDGE_STORE_PREFIX": "ä"}, "BRIDGE_STORE_PREFIX"),
    ],
    ids=shown_settings,
)
def test_a_bad_setting_is_refused(without_settings, env, says):
    for name, value in env.items():
        without_settings.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.acceptance
class TestCommands:
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
            ({"BRIDGE_STORE_URL": f"http://user:{SECRET}@x"}, "not a Redis URL"),
            ({"CELERY_BROKER_URL": f"amqp://user:{SECRET}@x//"}, "Set BRIDGE_STORE_URL"),
            ({"BRIDGE_STORE_URL": f"redis://:{SECRET}@127.0.0.1:port/0"}, "BRIDGE_STORE_URL"),
            ({"BRIDGE_STORE_URL": f"redis://:{SECRET}/x@127.0.0.1:1/0"}, "BRIDGE_STORE_URL"),
            ({"BRIDGE_TASKS": ""}, "BRIDGE_TASKS"),
            ({"BRIDGE_TASKS": "no_such_module"}, "'no_such_module'"),
            ({"JOBS_PREFIX": "spaced out"}, "'spaced out-echo'"),
            ({"JOBS_PREFIX": ARN.format("x").replace("activity", "stateMachine")}, "stateMachine"),
        ],
        ids=shown_settings,
    )
    def test_status_refuses_a_bad_setting(self, idle_deployment, env, says):
        assert_one_sentence(idle_deployment.run("status", **env), says=says)

    @pytest.mark.parametrize("command", ["poll", "settings", "worker"])
    def test_every_command_refuses_a_bad_setting(self, idle_deployment, command):
        done = idle_deployment.run(command, BRIDGE_LEASE="3")
        assert_one_sentence(done, says="Did you mean BRIDGE_LEASE_S?")

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("def oops(:\n", "SyntaxError"),
            ("raise RuntimeError('no tasks today')\n", "RuntimeError: no tasks today"),
            ("import no_such_library\n", "'no_such_library'"),
        ],
        ids=["a syntax error", "an exception", "a missing library"],
    )
    def test_a_module_that_cannot_be_imported_shows_its_own_line(self, idle_deployment, text, says):
        (idle_deployment.folder / "broken.py").write_text(text)
        done = idle_deployment.run("poll", BRIDGE_TASKS="broken")
        assert done.returncode != 0
        assert str(idle_deployment.folder / "broken.py") in done.stderr
        assert says in done.stderr
        assert "local-secret" not in done.stderr

    def test_a_store_that_does_not_answer_is_named(self, idle_deployment):
        done = idle_deployment.run("status", BRIDGE_STORE_URL=f"redis://:{SECRET}@127.0.0.1:1/0")
        assert_one_sentence(done, says="redis://:***@127.0.0.1:1/0 does not answer", status=(1,))

    @pytest.mark.parametrize(
        "url",
        [
            f"redis://user:{SECRET}@127.0.0.1:1/0",
            f"redis://:a@{SECRET}@127.0.0.1:1/0",
            f"redis://127.0.0.1:1/0?password={SECRET}",
        ],
    )
    def test_a_password_is_never_shown(self, idle_deployment, url):
        """redis-py takes each of these URLs, and kombu all but the last."""
        done = idle_deployment.run("settings", "--json", CELERY_BROKER_URL=url)
        assert done.returncode == (2 if "?" in url else 0)
        assert SECRET not in done.stdout + done.stderr
