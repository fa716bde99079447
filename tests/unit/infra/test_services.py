"""The services of ``ecs``, their containers and their autoscaling."""

import json

import pytest

from bridge.infra.ecs import ecs
from bridge.infra.fleet import Fleet
from bridge.metrics.scaling import MOST
from tests.unit.infra.ecs_template import (
    MADE,
    PROCESSES,
    RESOURCES,
    container,
)


class TestTasks:
    @pytest.mark.parametrize("process", PROCESSES)
    def test_containers_are_locked_down(self, process):
        only = container(process)
        assert only["User"] == "1000"
        assert only["ReadonlyRootFilesystem"]
        assert only["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
        assert "Privileged" not in only

    @pytest.mark.parametrize("process", PROCESSES)
    def test_passwords_come_from_secrets(self, process):
        only = container(process)
        assert {"Name": "CELERY_BROKER_URL", "ValueFrom": {"Ref": "BrokerUrl"}} in only["Secrets"]
        assert "resolve:" not in json.dumps(only)

    @pytest.mark.parametrize("process", PROCESSES)
    def test_logs_are_kept_for_a_time(self, process):
        assert RESOURCES[f"{process}Logs"]["Properties"]["RetentionInDays"]
        assert container(process)["LogConfiguration"]["Options"]["awslogs-group"] == {
            "Ref": f"{process}Logs"
        }

    def test_stop_timeouts_are_long_enough_to_drain(self):
        stops = {process: container(process)["StopTimeout"] for process in PROCESSES}
        assert stops == {"Poller": 90, "Worker": 120, "Beat": 30, "Flower": 30}

    def test_workers_have_metadata_about_long_jobs(self):
        assert "on_lost" in RESOURCES["WorkerService"]["Metadata"]["LongJobs"]

    def test_only_pollers_and_beat_have_credentials(self):
        roles = {
            process: RESOURCES[f"{process}Task"]["Properties"]["TaskRoleArn"]["Fn::ImportValue"][
                "Fn::Sub"
            ].removeprefix("${ActivitiesStack}-")
            for process in PROCESSES
        }
        assert roles == {
            "Poller": "PollerRoleArn",
            "Beat": "BeatRoleArn",
            "Worker": "WorkerRoleArn",
            "Flower": "WorkerRoleArn",
        }

    def test_commands_are_those_of_the_readme(self):
        def command(process):
            return " ".join(str(part) for part in container(process)["Command"])

        assert command("Poller") == "celery -A bridge poll"
        assert command("Worker").startswith("celery -A bridge worker --concurrency")
        assert command("Beat").startswith(
            "celery -A bridge worker -B -Q bridge.system --pool threads"
        )
        assert "--schedule /tmp/" in command("Beat")  # the rest cannot be written to
        assert command("Flower").startswith("celery -A bridge flower")


class TestServices:
    @pytest.mark.parametrize("process", PROCESSES)
    def test_a_bad_deployment_rolls_back(self, process):
        how = RESOURCES[f"{process}Service"]["Properties"]["DeploymentConfiguration"]
        assert how["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}

    def test_one_beat_is_enough(self):
        assert RESOURCES["BeatService"]["Properties"]["DesiredCount"] == 1

    def test_all_but_flower_stay_at_full_strength(self):
        """A second beat does no harm: heartbeats need not wait for pollers to stand in."""
        for process in ("Poller", "Worker", "Beat"):
            how = RESOURCES[f"{process}Service"]["Properties"]["DeploymentConfiguration"]
            assert how["MinimumHealthyPercent"] == 100

    def test_autoscaling_alone_decides_the_number_of_workers(self):
        assert "DesiredCount" not in RESOURCES["WorkerService"]["Properties"]

    def test_workers_follow_the_backlog(self):
        policy = RESOURCES["WorkerScaling"]["Properties"]
        tracked = policy["TargetTrackingScalingPolicyConfiguration"]
        metric = tracked["CustomizedMetricSpecification"]
        assert policy["PolicyType"] == "TargetTrackingScaling"
        assert (metric["Namespace"], metric["MetricName"]) == (
            "StepFunctions/Activities",
            "BacklogPerSlot",
        )

    def test_the_metric_of_the_backlog_can_have_dimensions(self):
        made = ecs(Fleet.of(["a"], dimensions={"App": "shop"}))["Resources"]["WorkerScaling"]
        tracked = made["Properties"]["TargetTrackingScalingPolicyConfiguration"]
        assert tracked["CustomizedMetricSpecification"]["Dimensions"] == [
            {"Name": "App", "Value": "shop"}
        ]

    def test_workers_are_as_many_for_many_activities(self):
        """An idle activity takes no slot."""
        many = ecs(Fleet.of([f"a{number}" for number in range(40)]))["Parameters"]
        for made in (many, MADE["Parameters"]):
            assert (made["WorkerMin"]["Default"], made["WorkerMax"]["Default"]) == (2, 20)

    def test_the_target_can_be_reached(self):
        """The figure is bounded: a target above it would never scale out."""
        target = MADE["Parameters"]["BacklogPerSlotTarget"]
        assert target["Default"] < 1 < target["MaxValue"] < MOST

    def test_flower_is_optional_and_asks_for_a_password(self):
        for kind in ("Service", "Task", "Logs"):
            assert RESOURCES[f"Flower{kind}"]["Condition"] == "WithFlower"
        assert MADE["Parameters"]["Flower"]["Default"] == "no"
        assert "FLOWER_BASIC_AUTH" in {each["Name"] for each in container("Flower")["Secrets"]}
