"""``celery -A bridge lint``: exit statuses and options."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from celery import Celery
from click.testing import CliRunner

from bridge.lint.command import lint
from bridge.registry import Activity, Registry
from tests.unit.lint.helpers import ARN, CLEAN, clean


def run(*args, app=None):
    return CliRunner().invoke(lint, [str(each) for each in args], obj=SimpleNamespace(app=app))


@pytest.fixture
def file(tmp_path):
    def write(definition, name="m.asl.json"):
        path = tmp_path / name
        path.write_text(json.dumps(definition, indent=2))
        return path

    return write


@pytest.fixture
def app(monkeypatch):
    """An app with one activity, and a Redis broker."""
    celery = Celery("test", broker="redis://127.0.0.1:1", set_as_current=False)
    celery.conf.broker_transport_options = {"visibility_timeout": 1000}

    @celery.task(name="encode", time_limit=1200, shared=False)
    def task(event):
        return event

    registry = Registry([Activity("encode", task, "celery", 20.0)])
    bridge = SimpleNamespace(app=celery, load_tasks=lambda: registry)
    monkeypatch.setattr("bridge.app_state.installed", lambda given: bridge)
    return celery


class TestExitStatus:
    def test_a_clean_file_exits_with_0(self, file):
        result = run("--no-registry", file(CLEAN))
        assert result.exit_code == 0
        assert result.output == "0 errors, 0 warnings, 0 infos in 1 state machine\n"

    def test_infos_alone_exit_with_0(self, file):
        result = run("--no-registry", file(clean(Retry=[{"ErrorEquals": ["States.ALL"]}])))
        assert "BR013" in result.output
        assert result.exit_code == 0

    def test_a_warning_exits_with_1(self, file):
        assert run("--no-registry", file(clean(TimeoutSeconds=...))).exit_code == 1

    def test_an_error_exits_with_1(self, file):
        assert run("--no-registry", file(clean(TimeoutSeconds=1))).exit_code == 1

    def test_an_unreadable_file_does_not_hide_the_others(self, file, tmp_path):
        result = run("--no-registry", tmp_path / "none.json", file(clean(TimeoutSeconds=...)))
        assert result.exit_code == 2
        assert "none.json cannot be read: No such file or directory." in result.stderr
        assert "BR004" in result.stdout

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            ((), "give FILES"),
            (("--fix", "--all"), "--fix changes files only"),
            (("--ignore", "BR999", "x"), "no such rule"),
            (("--state-machine", ARN + "encode"), "is not the ARN of a state machine"),
            (("--type", "fast", "x"), "is not one of"),
            (("--visibility-timeout", "0", "x"), "not in the range"),
        ],
    )
    def test_wrong_usage_exits_with_2_and_a_message(self, args, message):
        result = run("--no-registry", *args)
        assert result.exit_code == 2
        assert message in result.stderr


class TestOptions:
    def test_type_is_used_where_a_file_does_not_say_it(self, file):
        assert "BR009" in run("--no-registry", "--type", "express", file(CLEAN)).output

    def test_region_is_used_where_a_file_does_not_say_it(self, file):
        assert "BR023" in run("--no-registry", "--region", "us-east-1", file(CLEAN)).output

    def test_ignore_leaves_out_a_rule(self, file):
        path = file(clean(TimeoutSeconds=...))
        assert run("--no-registry", "--ignore", "BR004", path).exit_code == 0

    def test_json_is_the_same_as_format_json(self, file):
        path = file(clean(TimeoutSeconds=...))
        made = json.loads(run("--no-registry", "--json", path).stdout)
        assert made["findings"][0]["source"] == str(path)
        assert made["findings"][0]["line"] == 5
        sarif = json.loads(run("--no-registry", "--format", "sarif", path).stdout)
        assert sarif["version"] == "2.1.0"
        assert run("--no-registry", "--format", "github", path).stdout.startswith("::warning file=")
        assert run("--no-registry", "--format", "github", file(CLEAN)).stdout == ""

    def test_json_is_printed_even_when_no_file_can_be_read(self, tmp_path):
        result = run("--no-registry", "--json", tmp_path / "none")
        assert json.loads(result.stdout)["summary"]["state_machines"] == 0
        assert result.exit_code == 2


class TestRegistry:
    def test_definitions_are_compared_with_the_tasks_of_the_app(self, app, file):
        result = run(file(clean(HeartbeatSeconds=30)), app=app)
        assert "BR003" in result.output
        assert "BR008" in result.output
        assert "visibility_timeout is 1000 s" in result.output

    def test_the_visibility_timeout_option_wins_over_the_broker_of_the_app(self, app, file):
        assert run("--visibility-timeout", "1200", file(CLEAN), app=app).exit_code == 0

    def test_an_activity_without_a_task_is_reported(self, app, file):
        assert "BR020" in run(file(clean(Resource=ARN + "encoed")), app=app).output

    def test_fix_writes_the_file_and_counts_what_it_fixed(self, app, file):
        path = file(clean(HeartbeatSeconds=...))
        result = run("--fix", "--ignore", "BR008", path, app=app)
        assert result.exit_code == 0
        assert result.stderr == "1 fixed\n"
        assert json.loads(path.read_text())["States"]["Encode"]["HeartbeatSeconds"] == 60

    def test_an_app_without_the_bridge_gets_an_error(self, file):
        result = run(file(CLEAN), app=Celery("plain", set_as_current=False))
        assert result.exit_code == 2
        assert "not installed" in result.stderr


def test_help_describes_the_command():
    result = run("--help")
    assert result.exit_code == 0
    assert "Lint Step Functions definitions" in result.output
