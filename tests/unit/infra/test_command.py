"""``celery -A bridge infra``, and the samples under deploy/ that it made."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
import yaml
from click.testing import CliRunner

from bridge.infra.command import infra

DEPLOY = Path(__file__).parents[3] / "deploy"
TWO = ("--activity", "image-processing-activity", "--activity", "send-invoice-activity")
PLACE = ("--region", "eu-west-1", "--account", "123456789012")
IMAGE = ("--image", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/celery-stepfunctions:0.2.0")
SAMPLES = {
    "iam.json": ("iam", *TWO, *PLACE),
    "activities.yaml": ("cloudformation", *TWO, "--tag", "Team=media"),
    "ecs.yaml": ("ecs", *TWO, *IMAGE),
    "alarms.yaml": ("alarms", *TWO),
    "dashboard.yaml": ("dashboard", *TWO),
}
COMMANDS = ("iam", "cloudformation", "ecs", "dashboard", "alarms")


CELERY = click.Group("celery", {"infra": infra}, params=[click.Option(["-A", "--app"])])


def run(*args, app="bridge"):
    given = ["-A", app, "infra", *args]
    return CliRunner().invoke(CELERY, given, obj=SimpleNamespace(app=None))


@pytest.mark.parametrize("sample", SAMPLES)
def test_samples_are_what_the_command_makes(sample, tmp_path):
    made = tmp_path / sample
    result = run(*SAMPLES[sample], "--output", str(made))
    assert result.exit_code == 0, result.output
    assert made.read_text() == (DEPLOY / sample).read_text(), (
        f"deploy/{sample} is out of date: celery -A bridge infra {' '.join(SAMPLES[sample])} "
        f"--output deploy/{sample}"
    )


def test_there_are_no_other_samples():
    assert {each.name for each in DEPLOY.iterdir()} == set(SAMPLES)


def test_the_given_app_is_the_one_that_runs():
    """An app with ``bridge.install`` has a name of its own."""
    made = run("ecs", "--json", *TWO, *IMAGE, app="shop").stdout
    assert "Made by: celery -A shop infra ecs" in made
    commands = [
        each["Properties"]["ContainerDefinitions"][0]["Command"]
        for each in json.loads(made)["Resources"].values()
        if each["Type"] == "AWS::ECS::TaskDefinition"
    ]
    assert [command[:3] for command in commands] == [["celery", "-A", "shop"]] * 4


class TestActivities:
    def test_activities_are_those_of_the_registered_tasks(self, monkeypatch):
        bridge = SimpleNamespace(load_tasks=lambda: {"resize": None, "notify": None})
        monkeypatch.setattr("bridge.app_state.installed", lambda app: bridge)
        made = json.loads(run("cloudformation", "--json").stdout)
        assert {"ActivityResize", "ActivityNotify"} <= set(made["Resources"])

    def test_given_activities_replace_those_of_the_tasks(self):
        made = json.loads(run("cloudformation", "--json", "--activity", "resize").stdout)
        assert "ActivityResize" in made["Resources"]


class TestFormat:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_json_and_yaml_have_the_same_content(self, command):
        as_json = run(command, *TWO, *PLACE, "--format", "json").stdout
        as_yaml = run(command, *TWO, *PLACE, "--format", "yaml").stdout
        assert json.loads(as_json) == yaml.safe_load(as_yaml)

    def test_policies_are_json_and_templates_yaml(self):
        assert run("iam", *TWO, *PLACE).stdout.startswith("{")
        assert run("alarms", *TWO).stdout.startswith("AWSTemplateFormatVersion:")

    def test_the_name_of_the_file_decides(self, tmp_path):
        run("alarms", *TWO, "--output", str(tmp_path / "alarms.json"))
        assert json.loads((tmp_path / "alarms.json").read_text())

    def test_json_works_without_pyyaml(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "yaml", None)
        assert run("alarms", *TWO, "--json").exit_code == 0
        refused = run("alarms", *TWO)
        assert refused.exit_code == 1
        assert "celery-stepfunctions[infra]" in refused.stderr


class TestExit:
    def test_exit_status_is_1_above_the_quotas_and_no_file_is_written(self, tmp_path):
        many = [part for number in range(130) for part in ("--activity", f"task-{number}")]
        output = tmp_path / "alarms.yaml"
        result = run("alarms", *many, "--output", str(output))
        assert result.exit_code == 1
        assert "522 resources" in result.stderr
        assert not output.exists()

    def test_exit_status_is_2_for_wrong_usage(self):
        assert run("alarms", *TWO, "--tag", "Team").exit_code == 2
        assert run("alarms", *TWO, "--format", "toml").exit_code == 2
        assert run("alarms", *TWO, "--region", "Ireland").exit_code == 2
        assert run("ecs", *TWO, "--image", "python:3.13").exit_code == 2

    def test_exit_status_is_2_when_a_policy_needs_region_and_account(self):
        result = run("iam", "--activity", "resize")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "--region" in result.stderr
