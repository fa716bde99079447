"""The processes of ``ecs``: one Fargate service each, and the scaling of the workers."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.infra import metrics, network
from bridge.infra.activities import ROLES
from bridge.infra.cfn import Json, ref, sub, tags
from bridge.infra.execution import execution_role
from bridge.infra.fleet import Fleet

LONG_JOBS = (
    "Fargate waits 120 s at most between SIGTERM and SIGKILL. Jobs that take longer are lost when "
    "a worker goes, by deployment or by scaling in. Declare them on_lost='retry', so that they run "
    "again inside their claim; or have them ask for ECS task protection while they run; or run "
    "workers on EC2 capacity, whose stopTimeout has no such limit."
)
# ECS ignores the image's own. While Redis is away nothing is found wrong: see bridge.healthcheck.
_HEALTH_CHECK: Json = {
    "Command": ["CMD", "python", "-P", "-m", "bridge.healthcheck"],
    "Interval": 60,
    "Timeout": 10,
    "Retries": 3,
    "StartPeriod": 60,
}


@dataclass(frozen=True, slots=True)
class Process:
    """One service.

    Attributes:
        stop_s: Between SIGTERM and SIGKILL, seconds; 120 at most on Fargate.
        deployment: Minimum healthy percent and maximum percent.
        count: None: autoscaling says.
    """

    name: str
    command: list[str | Json]
    role: str
    group: str
    stop_s: int
    count: Json | int | None
    deployment: tuple[int, int] = (100, 200)
    secrets: dict[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    condition: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    env: dict[str, Json | str] = field(default_factory=dict)


_BROKER = {"CELERY_BROKER_URL": "BrokerUrl"}
_AWS: dict[str, Json | str] = {"AWS_REGION": ref("AWS::Region")}
_LOG = ["--loglevel", "INFO"]


def processes(fleet: Fleet) -> list[Process]:
    """What runs; see README for what each does."""
    celery: list[str | Json] = ["celery", "-A", fleet.app]
    return [
        # Open polls return within 60 s: cutting one off can lose the next task.
        Process(
            "Poller",
            [*celery, "poll"],
            "poller",
            "PollerGroup",
            90,
            ref("PollerCount"),
            secrets=_BROKER,
            env=_AWS,
        ),
        Process(
            "Worker",
            [
                *celery,
                "worker",
                "--concurrency",
                ref("WorkerConcurrency"),
                *_LOG,
                "--hostname",
                "worker@%h",
            ],
            "worker",
            "WorkerGroup",
            120,
            None,
            secrets=_BROKER,
            metadata={"LongJobs": LONG_JOBS},
        ),
        # One is enough and two do no harm: the store hands each token to one pass.
        Process(
            "Beat",
            [
                *celery,
                "worker",
                "-B",
                "-Q",
                "bridge.system",
                "--pool",
                "threads",
                "--concurrency",
                "8",
                *_LOG,
                "--hostname",
                "beat@%h",
                "--schedule",
                "/tmp/celerybeat-schedule",  # noqa: S108
            ],
            "beat",
            "PollerGroup",
            30,
            1,
            secrets=_BROKER,
            env=_AWS,
        ),
        Process(
            "Flower",
            [*celery, "flower", "--address=0.0.0.0", f"--port={network.FLOWER_PORT}"],
            "worker",
            "FlowerGroup",
            30,
            1,
            (0, 100),
            _BROKER | {"FLOWER_BASIC_AUTH": "FlowerAuth"},
            (network.FLOWER_PORT,),
            condition="WithFlower",
        ),
    ]


def resources(fleet: Fleet) -> Json:
    """Cluster, log groups, task definitions, services, and the workers' scaling."""
    made: Json = {
        "Cluster": {
            "Type": "AWS::ECS::Cluster",
            "Properties": {
                "ClusterSettings": [{"Name": "containerInsights", "Value": "enabled"}],
                "Tags": tags(fleet.all_tags),
            },
        },
        "ExecutionRole": execution_role(fleet, [process.name for process in processes(fleet)]),
    }
    for process in processes(fleet):
        for kind, resource in (
            ("Logs", _logs(fleet)),
            ("Task", _task(fleet, process)),
            ("Service", _service(fleet, process)),
        ):
            only = {"Condition": process.condition} if process.condition else {}
            made[f"{process.name}{kind}"] = only | resource
    return made | _scaling(fleet)


def _logs(fleet: Fleet) -> Json:
    return {
        "Type": "AWS::Logs::LogGroup",
        # No name of ours: the next stack of this name would stumble over what was kept.
        "DeletionPolicy": "RetainExceptOnCreate",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "RetentionInDays": ref("LogRetentionDays"),
            "Tags": tags(fleet.all_tags),
        },
    }


def _task(fleet: Fleet, process: Process) -> Json:
    size = process.name if process.name in ("Poller", "Worker") else "Small"
    role = sub(f"${{ActivitiesStack}}-{ROLES[process.role]}Arn")
    return {
        "Type": "AWS::ECS::TaskDefinition",
        "Properties": {
            "Family": sub(f"${{AWS::StackName}}-{process.name.lower()}"),
            "RequiresCompatibilities": ["FARGATE"],
            "NetworkMode": "awsvpc",
            "Cpu": ref(f"{size}Cpu"),
            "Memory": ref(f"{size}Memory"),
            "RuntimePlatform": {
                "CpuArchitecture": ref("CpuArchitecture"),
                "OperatingSystemFamily": "LINUX",
            },
            "ExecutionRoleArn": {"Fn::GetAtt": ["ExecutionRole", "Arn"]},
            "TaskRoleArn": {"Fn::ImportValue": role},
            "ContainerDefinitions": [_container(process)],
            "Tags": tags(fleet.all_tags),
        },
    }


def _container(process: Process) -> Json:
    env: dict[str, Json | str] = {
        "BRIDGE_METRICS": "emf",
        "BRIDGE_TASKS": ref("TaskModules"),
        **process.env,
    }
    made: Json = {
        "Name": process.name.lower(),
        "Image": ref("Image"),
        "Essential": True,
        "Command": process.command,
        "User": "1000",
        "ReadonlyRootFilesystem": True,
        "LinuxParameters": {
            "InitProcessEnabled": True,
            "Capabilities": {"Drop": ["ALL"]},
            # The only place to write to; part of the task's memory. Needs a Fargate of 2026.
            "Tmpfs": [{"ContainerPath": "/tmp", "Size": ref("TmpMiB")}],  # noqa: S108
        },
        "HealthCheck": _HEALTH_CHECK,
        "StopTimeout": process.stop_s,
        "Environment": [{"Name": name, "Value": value} for name, value in env.items()],
        "Secrets": [
            {"Name": name, "ValueFrom": ref(secret)} for name, secret in process.secrets.items()
        ],
        "LogConfiguration": {
            "LogDriver": "awslogs",
            "Options": {
                "awslogs-group": ref(f"{process.name}Logs"),
                "awslogs-region": ref("AWS::Region"),
                "awslogs-stream-prefix": process.name.lower(),
                # A slow CloudWatch must not stop a worker that writes a log line.
                "mode": "non-blocking",
                "max-buffer-size": "25m",
            },
        },
    }
    if process.ports:
        made["PortMappings"] = [{"ContainerPort": port} for port in process.ports]
    return made


def _service(fleet: Fleet, process: Process) -> Json:
    minimum, maximum = process.deployment
    properties: Json = {
        "Cluster": ref("Cluster"),
        "LaunchType": "FARGATE",
        "TaskDefinition": ref(f"{process.name}Task"),
        "DeploymentConfiguration": {
            "MinimumHealthyPercent": minimum,
            "MaximumPercent": maximum,
            "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
        },
        # Moving tasks between zones would stop workers that are well.
        "AvailabilityZoneRebalancing": "DISABLED",
        "NetworkConfiguration": {
            "AwsvpcConfiguration": {
                "AssignPublicIp": "DISABLED",
                "SecurityGroups": [{"Fn::GetAtt": [process.group, "GroupId"]}],
                "Subnets": network.subnet_ids(fleet),
            }
        },
        "PropagateTags": "SERVICE",
        "EnableECSManagedTags": True,
        "Tags": tags(fleet.all_tags),
    }
    if process.count is not None:
        properties["DesiredCount"] = process.count
    made: Json = {"Type": "AWS::ECS::Service"}
    if needed := network.endpoint_ids(fleet):
        made["DependsOn"] = needed
    if process.metadata:
        made["Metadata"] = dict(process.metadata)
    return made | {"Properties": properties}


def _scaling(fleet: Fleet) -> Json:
    metric = {
        "Namespace": metrics.BRIDGE,
        "MetricName": metrics.BACKLOG_PER_SLOT,
        "Statistic": "Average",
    } | metrics.of_fleet(fleet)
    return {
        "WorkerTarget": {
            "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
            "Properties": {
                "ServiceNamespace": "ecs",
                "ScalableDimension": "ecs:service:DesiredCount",
                "ResourceId": sub("service/${Cluster}/${WorkerService.Name}"),
                "MinCapacity": ref("WorkerMin"),
                "MaxCapacity": ref("WorkerMax"),
            },
        },
        "WorkerScaling": {
            "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
            "Properties": {
                "PolicyName": sub("${AWS::StackName}-backlog-per-slot"),
                "PolicyType": "TargetTrackingScaling",
                "ScalingTargetId": ref("WorkerTarget"),
                "TargetTrackingScalingPolicyConfiguration": {
                    "CustomizedMetricSpecification": metric,
                    "TargetValue": ref("BacklogPerSlotTarget"),
                    "ScaleOutCooldown": 60,
                    "ScaleInCooldown": 600,
                },
            },
        },
    }
