"""``celery -A bridge capacity``: exit statuses, what it prints, where its defaults come from."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bridge.settings import Settings
from tests.unit.capacity.helpers import LARGE, SMALL, plan_as_json, run


class TestExit:
    def test_exit_status_is_0_within_the_limits(self):
        result = run(*SMALL)
        assert result.exit_code == 0, result.output

    def test_exit_status_is_1_beyond_a_limit(self):
        result = run(*LARGE)
        assert result.exit_code == 1
        assert "StartExecution is exceeded: it allows 300 tasks/s" in result.stdout

    def test_exit_status_is_1_for_an_input_that_is_too_large(self):
        result = run(*SMALL, "--input-bytes", "1048577")
        assert result.exit_code == 1
        assert "Put it into S3" in result.stdout

    @pytest.mark.parametrize(
        ("wrong", "value"),
        [
            (("--rate", "0", "--duration", "1"), "--rate 0 "),
            (("--rate", "nan", "--duration", "1"), "--rate nan "),
            (("--rate", "1", "--duration", "-2"), "--duration -2 "),
            ((*SMALL, "--heartbeat", "0.5"), "BRIDGE_TICK_S=1"),
            ((*SMALL, "--activities", "0"), "--activities 0 "),
            ((*SMALL, "--concurrency", "0"), "--concurrency 0 "),
            ((*SMALL, "--output-bytes", "-1"), "--output-bytes -1 "),
            ((*SMALL, "--failing", "1.5"), "--failing 1.5 "),
            ((*SMALL, "--tasks-per-execution", "0"), "--tasks-per-execution 0 "),
            ((*SMALL, "--quota", "PutItem=9"), "Name one of GetActivityTask"),
            ((*SMALL, "--quota", "StartExecution"), "Write StartExecution=1000"),
            ((*SMALL, "--quota", "StartExecution=0"), "has no rate"),
            (("--duration", "1"), "--rate"),
        ],
    )
    def test_exit_status_is_2_for_values_that_no_load_can_have(self, wrong, value):
        result = run(*wrong)
        assert (result.exit_code, result.stdout) == (2, "")
        assert value in result.stderr


class TestDefaults:
    def test_the_region_is_that_of_the_environment(self, monkeypatch):
        assert plan_as_json(*SMALL)["load"]["region"] == "us-east-1"
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        assert plan_as_json(*SMALL)["load"]["region"] == "eu-central-1"
        assert plan_as_json(*SMALL, "--region", "sa-east-1")["load"]["region"] == "sa-east-1"

    def test_activities_and_settings_are_those_of_the_app(self, monkeypatch):
        bridge = SimpleNamespace(
            settings=Settings(heartbeat_s=45), load_tasks=lambda: dict.fromkeys("abc")
        )
        monkeypatch.setattr("bridge.app_state.installed", lambda app: bridge)
        found = plan_as_json(*SMALL, app=SimpleNamespace(bridge=bridge))["load"]
        assert (found["activities"], found["heartbeat_s"]) == (3, 45)

    def test_an_app_without_the_bridge_has_the_default_settings(self):
        assert plan_as_json(*SMALL, app=SimpleNamespace())["load"]["activities"] == 1

    def test_a_given_quota_replaces_the_default(self):
        assert (
            plan_as_json(
                *LARGE,
                "--quota",
                "StartExecution=5000",
                "--quota",
                "SendTaskHeartbeat=5000",
                "--tasks-per-execution",
                "1",
            )["first"]["name"]
            == "GetActivityTask"
        )
