"""``celery -A bridge capacity``: exit statuses, what it prints, where its defaults come from."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from bridge.capacity.command import capacity
from bridge.settings import Settings

SMALL = ("--rate", "10", "--duration", "30")
LARGE = ("--rate", "400", "--duration", "30")


@pytest.fixture(autouse=True)
def no_region(monkeypatch):
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)


def run(*args, app=None):
    return CliRunner().invoke(capacity, args, obj=SimpleNamespace(app=app))


def said(*args, app=None):
    return json.loads(run(*args, "--json", app=app).stdout)


class TestExit:
    def test_0_within_the_limits(self):
        result = run(*SMALL)
        assert result.exit_code == 0, result.output

    def test_1_beyond_one(self):
        result = run(*LARGE)
        assert result.exit_code == 1
        assert "StartExecution gives out: it bears 300 tasks/s" in result.stdout

    def test_1_for_an_input_that_is_too_large(self):
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
    def test_2_for_what_no_load_can_be(self, wrong, value):
        result = run(*wrong)
        assert (result.exit_code, result.stdout) == (2, "")
        assert value in result.stderr


class TestJson:
    def test_its_shape(self):
        found = said(*SMALL)
        assert found.keys() == {"load", "needs", "limits", "first", "warnings", "costs"}
        assert found["needs"]["in_flight"] == pytest.approx(301)
        assert found["limits"][0].keys() == {
            "name",
            "used",
            "limit",
            "utilisation",
            "growth",
            "exceeded",
        }
        assert found["first"]["name"] == found["limits"][0]["name"]
        assert found["warnings"] == []

    def test_nearest_limit_first_and_sizes_last(self):
        growths = [each["growth"] for each in said(*SMALL)["limits"]]
        known = [growth for growth in growths if growth is not None]
        assert known == sorted(known)
        assert growths == known + [None] * (len(growths) - len(known))

    def test_what_is_exceeded_is_said(self):
        found = said(*LARGE, "--region", "eu-central-1")
        exceeded = {each["name"] for each in found["limits"] if each["exceeded"]}
        assert exceeded == {
            "StartExecution",
            "GetActivityTask",
            "SendTaskSuccess",
            "SendTaskHeartbeat",
        }
        assert len(found["warnings"]) == len(exceeded) - 1


class TestTable:
    def test_needs_limits_and_what_gives_out(self):
        shown = run(*SMALL).stdout
        for part in ("claims in flight", "pollers", "Redis memory", "SendTaskHeartbeat"):
            assert part in shown
        assert "→ StartExecution gives out first, at 30 × this rate: 300 tasks/s" in shown

    def test_a_full_fleet_that_is_beyond_the_quota_is_warned_of(self):
        """On average within it: a backlog would not be."""
        result = run("--rate", "14", "--duration", "600", "--activities", "1")
        assert result.exit_code == 0
        assert "With every slot taken" in result.stdout


class TestDefaults:
    def test_the_region_of_the_environment(self, monkeypatch):
        assert said(*SMALL)["load"]["region"] == "us-east-1"
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        assert said(*SMALL)["load"]["region"] == "eu-central-1"
        assert said(*SMALL, "--region", "sa-east-1")["load"]["region"] == "sa-east-1"

    def test_activities_and_settings_of_the_app(self, monkeypatch):
        bridge = SimpleNamespace(
            settings=Settings(heartbeat_s=45), load_tasks=lambda: dict.fromkeys("abc")
        )
        monkeypatch.setattr("bridge.app_state.installed", lambda app: bridge)
        found = said(*SMALL, app=SimpleNamespace(bridge=bridge))["load"]
        assert (found["activities"], found["heartbeat_s"]) == (3, 45)

    def test_an_app_without_the_bridge_will_do(self):
        assert said(*SMALL, app=SimpleNamespace())["load"]["activities"] == 1

    def test_a_quota_of_the_accounts_own(self):
        assert (
            said(
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
