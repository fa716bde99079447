"""Missing or bad credentials, a bad region or endpoint: each is named in one sentence."""

from __future__ import annotations

import signal

import pytest

from tests.faults.refused_commands import ARN, assert_one_sentence, shown_settings

NO_CREDENTIALS = {
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
            (NO_CREDENTIALS, "credentials"),
            ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
            ({"AWS_PROFILE": "missing"}, "missing"),
            ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "AWS_REGION"),
            ({"AWS_REGION": "not a region"}, "region"),
            ({"AWS_ENDPOINT_URL_SFN": "localhost:4566"}, "localhost:4566"),
            ({"AWS_ENDPOINT_URL_SFN": "http://127.0.0.1:1"}, "127.0.0.1:1"),
        ],
        ids=shown_settings,
    )
    def test_poll_refuses_bad_aws_settings(self, idle_deployment, env, says):
        self.assert_refused(idle_deployment, ["poll"], env, says)

    @pytest.mark.parametrize(
        ("env", "says"),
        [
            (NO_CREDENTIALS, "credentials"),
            ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
            ({"AWS_ENDPOINT_URL_SFN": "http://127.0.0.1:1"}, "127.0.0.1:1"),
        ],
        ids=shown_settings,
    )
    def test_activities_list_refuses_bad_aws_settings(self, idle_deployment, env, says):
        self.assert_refused(idle_deployment, ["activities", "list"], env, says)

    @staticmethod
    def assert_refused(deployment, args, env, says):
        env = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent", **env}
        done = deployment.run(*args, timeout_s=60, **env)
        assert_one_sentence(done, says=says, status=(1, 2))

    def test_a_poller_without_credentials_waits_until_it_is_stopped(self, running):
        """It starts because a full ARN needs no look-up; it tries again, as keys may appear."""
        (running.folder / "waits.py").write_text(
            "from celery import shared_task\n"
            f"@shared_task(activity={ARN.format('waits')!r})\ndef work(event): ...\n"
        )
        process = running.start("waits", "poll", **{**NO_CREDENTIALS, "BRIDGE_TASKS": "waits"})
        running.processes.remove(process)
        try:
            process.says("no AWS credentials")
            process.says("next in")
            process.signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert "Traceback" not in process.output
        finally:
            process.kill()
